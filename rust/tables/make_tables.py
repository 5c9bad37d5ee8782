"""Write the table of characters of the running Python beside this file: run it once under each version.

    python3.11 rust/tables/make_tables.py && python3.12 rust/tables/make_tables.py && ...

Whoever adds a version adds its line to ``Table::file`` in ``rust/src/text/table.rs``; without one, the same
bytes are made at run time.
"""

import runpy
import unicodedata
from pathlib import Path

here = Path(__file__).resolve().parent
probe = runpy.run_path(str(here.parents[1] / "src" / "manymill" / "text" / "characters.py"))
path = here / f"unicode-{unicodedata.unidata_version}.bin"
path.write_bytes(probe["character_table"]())
print(path.name, path.stat().st_size, "bytes")
