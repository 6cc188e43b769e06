"""The command line: the only room that prints or exits. One verb a file; each verb pays for its own imports alone."""
