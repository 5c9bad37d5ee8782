"""Execution engines: threads, processes, any executor, Dask clusters."""
