"""What `import lorimer` offers to programs and notebooks: studies as values and data frames, their plots, and how to run one."""
