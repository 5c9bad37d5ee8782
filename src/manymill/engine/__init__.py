"""Where work happens: threads of this process."""
