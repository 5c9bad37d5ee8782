"""Encode tables in Parquet and CSV files as numeric matrices in memory-mapped files."""

from manymill.data.table.encoding import Table, encode_table
from manymill.data.table.schema import Column, TableSchema

__all__ = ["Column", "Table", "TableSchema", "encode_table"]
