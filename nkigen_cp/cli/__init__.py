"""The command line ``nkigen-cp``: the public API from files."""
