"""The tasks of this repository. A new one is a function in steps.py and a subcommand in cli.py."""
