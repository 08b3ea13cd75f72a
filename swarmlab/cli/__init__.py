"""The command line.

Duty: words, flags and files into requests; answers into tables, JSON and exit codes; the live view;
the demo; the benches.
Takes: arguments, environment variables, files, and a cluster behind its control socket or inside this process.
Gives: text on standard output, trouble on standard error, one documented exit code.
Never: decides what the cluster decides, keeps state, or imports a heavy library before a command needs it.

`main.py` finds the command in the table of `commands.py`. Each noun has a module, whose functions
`VERB_arguments(parser)` and `VERB(options)` belong together. Modules named `*_arguments.py` hold flags alone, so that
completion stays quick.
"""
