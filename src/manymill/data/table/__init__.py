"""Tables: columns of Parquet and CSV files as a matrix of numbers in a file, which every process maps."""

from manymill.data.table.encoding import Table, encode_table
from manymill.data.table.schema import Column, TableSchema

__all__ = ["Column", "Table", "TableSchema", "encode_table"]
