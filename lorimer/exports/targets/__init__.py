"""One file per target, with `files(winner) -> {path: bytes}`; the file's name is what the user types after `--to`."""
