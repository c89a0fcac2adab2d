"""Makes tests/files/fuzz: a small population in Parquet files of many forms, each page with a checksum.

    pip install pyarrow
    sesame generate /tmp/population --subjects 20 --seed 3 --months 8
    python tests/files/fuzz.py /tmp/population tests/files/fuzz
"""

import sys
from pathlib import Path

import pyarrow.dataset as ds
import pyarrow.parquet as pq

FORMS = {
    "subjects": {"data_page_version": "1.0", "compression": "snappy"},
    "repayments": {"data_page_version": "2.0", "compression": "zstd", "row_group_size": 60},
    "utility_payments": {"data_page_version": "2.0", "compression": "gzip", "use_dictionary": False},
    "purchases": {"data_page_version": "1.0", "compression": "none", "data_page_size": 512},
    "friend_links": {"data_page_version": "1.0", "compression": "lz4", "use_dictionary": False},
    "consents": {"data_page_version": "2.0", "compression": "brotli"},
    "disputes": {"data_page_version": "1.0", "compression": "none"},
    "public_records": {"data_page_version": "1.0", "compression": "zstd"},
    "sources": {"data_page_version": "2.0", "compression": "none"},
}


def main(population: Path, target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    for table, form in FORMS.items():
        folder = population / table
        source = folder if folder.is_dir() else folder.with_suffix(".parquet")
        rows = ds.dataset(source, format="parquet").to_table().replace_schema_metadata(None)
        pq.write_table(rows, target / f"{table}.parquet", write_page_checksum=True, store_schema=False, **form)


main(Path(sys.argv[1]), Path(sys.argv[2]))
