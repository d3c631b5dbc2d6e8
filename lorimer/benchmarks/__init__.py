"""Benchmark adapters: folders of tasks in, `Task` values out."""
