"""Read labelled text: resolve sources to files, cut files into blocks, parse blocks into batches of rows."""
