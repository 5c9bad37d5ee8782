"""Where labelled text comes from: names to files, files to blocks, blocks to batches of rows."""
