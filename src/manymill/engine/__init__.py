"""Where work happens: threads of this process, other processes, an executor, a Dask cluster."""
