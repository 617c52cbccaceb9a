#!/usr/bin/env python3
"""Makes mouse.tsv, the one-to-one mouse orthologs of the genes of genes.tsv.

    make_orthologs.py REFERENCE > mouse.tsv      (any Python from 3.9)

REFERENCE is a folder with
  genes/Ensembl105_Human2Mouse_Genes.csv.gz   pairs of human and mouse symbols (Ensembl 105), the mouse one empty without ortholog
  genes/genes_mus_musculus.csv.gz             GENCODE mouse genes: id, symbol, version, length, biotype

Only facts are kept. A row is `human number<TAB>mouse number<TAB>mouse symbol`, the numbers being the Ensembl ids without prefix and
leading zeros. Genes with several orthologs, or whose ortholog belongs to several genes, are left out: they have no partner to be
compared with.
"""
import csv, gzip, sys
from collections import Counter
from pathlib import Path


def main(reference: Path) -> None:
    with gzip.open(reference / "genes/Ensembl105_Human2Mouse_Genes.csv.gz", "rt") as file:
        pairs = {(row[0], row[1]) for row in csv.reader(file) if len(row) > 1 and row[0] and row[1]}
    humans, mice = Counter(h for h, _ in pairs), Counter(m for _, m in pairs)
    with gzip.open(reference / "genes/genes_mus_musculus.csv.gz", "rt") as file:
        rows = [(row[0], row[1]) for row in csv.reader(file) if row[4] == "protein_coding"]
    repeated = {s for s, n in Counter(s for _, s in rows).items() if n > 1}
    id_of = {s: i for i, s in rows if s not in repeated}
    ortholog = {h: m for h, m in pairs if humans[h] == 1 and mice[m] == 1 and m in id_of}
    for line in (Path(__file__).parent / "genes.tsv").read_text().splitlines():
        number, symbol, _ = line.split("\t")
        mouse = ortholog.get(symbol)
        # Mitochondrially encoded genes are not in the table of pairs under their mouse symbol.
        if mouse is None and symbol.startswith("MT-") and "mt-" + symbol[3:].capitalize() in id_of:
            mouse = "mt-" + symbol[3:].capitalize()
        if mouse is not None:
            print(number, int(id_of[mouse].removeprefix("ENSMUSG")), mouse, sep="\t")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
