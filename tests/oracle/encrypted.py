"""Encrypted files in both directions: writes inputs as pyarrow encrypts them, and opens what sesame encrypted.

    encrypted.py write FROM TO KEY OTHER   every Parquet file below FROM, encrypted, in four ways by turns
    encrypted.py open FOLDER KEY [PLAIN]   every Parquet file below FOLDER opens with KEY and not without; of tables of the
                                           same name below PLAIN, which is not encrypted, the rows are equal

KEY and OTHER are hexadecimal; their ids are "2026-11" and "of-columns". The ways: uniform, with no key id in the file;
uniform with a plain footer; and with keys that the file wraps, as CryptoFactory does, one for each column, with an
encrypted and with a plain footer. The last two need the package `cryptography`.
"""

import base64
import os
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pyarrow.parquet.encryption as pe

ID, COLUMNS = "2026-11", "of-columns"


def kms(keys):
    """A KmsClient that wraps keys as sesame unwraps them."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    class Kms(pe.KmsClient):
        """Wraps by AES-GCM with the key's id authenticated: base64 of nonce, ciphertext and tag."""

        def __init__(self, _config):
            pe.KmsClient.__init__(self)

        def wrap_key(self, key, master):
            nonce = os.urandom(12)
            return base64.b64encode(nonce + AESGCM(keys[master]).encrypt(nonce, key, master.encode()))

        def unwrap_key(self, wrapped, master):
            raw = base64.b64decode(wrapped)
            return AESGCM(keys[master]).decrypt(raw[:12], raw[12:], master.encode())

    return Kms


def wrapped(table, keys, plaintext_footer, double_wrapping):
    """Properties with one wrapped key for every second column and another for the rest."""
    names = table.column_names
    own = {ID: names[::2]} | ({COLUMNS: names[1::2]} if len(names) > 1 else {})
    configuration = pe.EncryptionConfiguration(
        footer_key=ID, column_keys=own, plaintext_footer=plaintext_footer, double_wrapping=double_wrapping
    )
    return pe.CryptoFactory(kms(keys)).file_encryption_properties(pe.KmsConnectionConfig(), configuration)


def write(source, target, keys):
    """Encrypts every file; says how many in which way."""
    ways = [
        lambda table: pe.create_encryption_properties(keys[ID]),
        lambda table: pe.create_encryption_properties(keys[ID], plaintext_footer=True),
    ]
    try:
        import cryptography  # noqa: F401

        ways.append(lambda table: wrapped(table, keys, False, True))
        ways.append(lambda table: wrapped(table, keys, True, False))
    except ImportError:
        print("no package `cryptography`: no keys were wrapped", file=sys.stderr)
    files = sorted(source.rglob("*.parquet"))
    for n, path in enumerate(files):
        table = pq.ParquetFile(path).read()
        place = target / path.relative_to(source)
        place.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, place, encryption_properties=ways[n % len(ways)](table), row_group_size=5_000)
    print(f"{len(files)} files written in {len(ways)} ways")


def read(path, key):
    """All rows of an encrypted file."""
    properties = pe.create_decryption_properties(key)
    return pq.ParquetFile(path, decryption_properties=properties).read()


def opens(folder, key, plain):
    """Opens every file with the key, and sees that none opens without or with another one."""
    files, equal = sorted(folder.rglob("*.parquet")), 0
    for path in files:
        assert path.read_bytes()[:4] == b"PARE", f"{path} is not encrypted"
        table = read(path, key)
        for wrong in [lambda: pq.ParquetFile(path), lambda: read(path, bytes(len(key)))]:
            try:
                wrong()
            except (OSError, ValueError):
                continue
            raise AssertionError(f"{path} opens with the wrong key, or with none")
        other = plain and plain / path.relative_to(folder)
        if other and other.exists():
            assert table.equals(pq.ParquetFile(other).read()), f"{path} has other rows"
            equal += 1
    assert files, f"no files below {folder}"
    print(f"{len(files)} files open, {equal} equal the plain ones")


def main():
    command, *rest = sys.argv[1:]
    if command == "write":
        source, target, key, other = rest
        write(Path(source), Path(target), {ID: bytes.fromhex(key), COLUMNS: bytes.fromhex(other)})
    else:
        folder, key, *plain = rest
        opens(Path(folder), bytes.fromhex(key), Path(plain[0]) if plain else None)


main()
