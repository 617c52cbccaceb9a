#!/usr/bin/env python3
"""Makes genes.tsv, the human genes that simulated cells are made of.

    make_genes.py REFERENCE > genes.tsv      (numpy 2.4.6; any Python from 3.9)

REFERENCE is a folder with
  genes/genes_homo_sapiens.csv.gz            GENCODE human genes: id, symbol, version, length, biotype
  genesets/lambert2018.txt                   human transcription factors (Lambert 2018), symbols
  genesets/cell_cycle_genes_homo_sapiens.tsv S and G2/M genes (Tirosh 2016), id and phase
  genesets/h.all.v2025.1.Hs.symbols.gmt      only to prefer well-studied genes when filling up
  networks/dorothea_hs_ABC.csv.gz            only to prefer well-studied transcription factors
  vocab/geneformer_30M/token_dictionary.pkl, vocab/geneformer_gc95M/token_dictionary_gc95M.pkl

Only facts are kept: Ensembl id, symbol, flags. Every gene is protein-coding and in both vocabularies.
A row is `number<TAB>symbol<TAB>flags`, the number being the Ensembl id without ENSG and leading zeros. Flags:
  r transcription factor   h housekeeping   b cytosolic ribosomal protein   m mitochondrially encoded   s, g cell cycle S, G2/M
  lineage markers: 0 stem and progenitor, 1 erythroid, 2 myeloid, 3 B cell, 4 T and NK cell, 5 megakaryocyte, 6 dendritic
Rows are ordered so that any first n rows hold a sensible mix: the scarce kinds come early.
"""
import csv, gzip, pickle, sys
from collections import Counter
from pathlib import Path

N_GENES = 2000
MARKERS = {
    "0": "CD34 KIT FLT3 PROM1 MEIS1 HOXA9 GATA2 HLF AVP CRHBP SPINK2 MLLT3 THY1 CD164 EGFL7 MECOM ERG TAL1 LMO2 MYCN",
    "1": "GATA1 KLF1 HBB HBA1 HBA2 HBD AHSP ALAS2 GYPA GYPB CA1 CA2 SLC4A1 TFRC BLVRB EPOR HEMGN SPTA1 NFE2 ANK1 EPB42 UROD FECH TMOD1 BCL11A",
    "2": "SPI1 CEBPA CEBPE CEBPD MPO ELANE PRTN3 AZU1 LYZ S100A8 S100A9 S100A12 CD14 FCN1 CSF3R CSF1R VCAN CTSG MNDA LST1 AIF1 FCER1G CD68 IRF8 KLF4",
    "3": "PAX5 EBF1 CD19 MS4A1 CD79A CD79B VPREB1 IGLL1 DNTT RAG1 RAG2 BLNK CD22 CD37 POU2AF1 TCL1A FCRLA BANK1 CD24 SPIB BACH2 LEF1",
    "4": "CD3D CD3E CD3G CD2 CD7 IL7R TCF7 GATA3 BCL11B LCK NKG7 GNLY GZMB GZMA PRF1 KLRD1 CCL5 CST7 EOMES TBX21 RUNX3 IL32 CD247 TRAT1",
    "5": "PF4 PPBP ITGA2B GP9 GP1BA GP6 ITGB3 VWF TUBB1 SELP FLI1 MPL NRGN CMTM5 TREML1 CLU LAT MYL9 THBS1 GFI1B ZFPM1",
    "6": "IRF4 TCF4 IL3RA CLEC4C LILRA4 GZMB SPIB CD1C FCER1A CLEC10A CLEC9A BATF3 XCR1 CCR7 LAMP3 SIGLEC6 AXL IRF7 ZBTB46 ID2 CST3",
}
HOUSEKEEPING = """ACTB GAPDH B2M TMSB4X TMSB10 EEF1A1 TPT1 FTH1 FTL PFN1 CFL1 MYL6 UBC UBB GNB1 PGK1 TPI1 ENO1 LDHA LDHB PKM ALDOA HPRT1
YWHAZ YWHAB YWHAE TUBA1B TUBB HSP90AB1 HSP90AA1 HSPA8 PPIA PPIB EEF1B2 EEF1D EEF1G EEF2 EIF1 EIF4A1 EIF4A2 EIF3E EIF3F EIF3H EIF3K NACA BTF3
FAU UBA52 NPM1 NCL RACK1 SLC25A5 SLC25A6 SLC25A3 ATP5F1B ATP5F1A ATP5MC2 ATP5MC3 COX4I1 COX5A COX5B COX6A1 COX6B1 COX6C COX7A2 COX7C COX8A
UQCRB UQCRH UQCRQ NDUFA1 NDUFA4 NDUFB2 NDUFS5 HNRNPA1 HNRNPA2B1 HNRNPK HNRNPC SRSF3 SRSF5 SERF2 OAZ1 ARPC2 ARPC3 ACTR2 ACTR3 CAPZB
ARHGDIB CD63 RAB7A ARF1 CALM1 CALM2 SUMO2 SUB1 SOD1 PRDX1 PRDX2 PARK7 GSTP1 PSMA7 PSMB1 PSMB6 PSMC5 PSMD8 POLR2L SNRPD2 SNRPB SEC61B SEC61G SSR4
TBP SDHA RPLP0 GUSB CHMP2A EMC7 REEP5 SNRPD3 VCP VPS29 C1orf43 TRAPPC4""".split()


def main(reference: Path) -> None:
    tokens = [
        set(pickle.loads((reference / "vocab" / path).read_bytes()))
        for path in ("geneformer_30M/token_dictionary.pkl", "geneformer_gc95M/token_dictionary_gc95M.pkl")
    ]
    with gzip.open(reference / "genes/genes_homo_sapiens.csv.gz", "rt") as file:
        rows = [(row[0], row[1]) for row in csv.reader(file) if row[4] == "protein_coding"]
    known = [(i, s) for i, s in rows if all(i in t for t in tokens)]
    repeated = {s for s, n in Counter(s for _, s in rows).items() if n > 1}
    id_of = {s: i for i, s in known if s and s not in repeated and not s.startswith("ENSG")}

    flags: dict[str, str] = {}

    def flag(symbols, letter):
        for s in symbols:
            if s in id_of and letter not in flags.get(s, ""):
                flags[s] = flags.get(s, "") + letter

    transcription_factors = set((reference / "genesets/lambert2018.txt").read_text().split())
    with gzip.open(reference / "networks/dorothea_hs_ABC.csv.gz", "rt") as file:
        n_targets = Counter(row["tf"] for row in csv.DictReader(file))
    studied = [s for s, _ in sorted(n_targets.items(), key=lambda kv: (-kv[1], kv[0])) if s in transcription_factors]
    marker_symbols = {s for symbols in MARKERS.values() for s in symbols.split()}
    flag((s for s in sorted(marker_symbols) if s in transcription_factors), "r")
    flag([s for s in studied if s in id_of][:300], "r")
    for letter, symbols in MARKERS.items():
        flag(symbols.split(), letter)
    with open(reference / "genesets/cell_cycle_genes_homo_sapiens.tsv") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            flag([row["gene_name"]], {"S": "s", "G2M": "g"}[row["phase"].replace("/", "").upper()])
    flag((s for s in id_of if s.startswith("MT-")), "m")
    flag((s for s in id_of if ribosomal(s)), "b")
    flag(HOUSEKEEPING, "h")
    missing = sorted((marker_symbols | set(HOUSEKEEPING)) - set(id_of))
    print("not in both vocabularies under this symbol:", *missing, file=sys.stderr)

    sets = Counter()
    for line in (reference / "genesets/h.all.v2025.1.Hs.symbols.gmt").read_text().splitlines():
        sets.update(line.split("\t")[2:])
    for s, _ in sorted(sets.items(), key=lambda kv: (-kv[1], kv[0])):
        if len(flags) == N_GENES:
            break
        if s in id_of and s not in transcription_factors:
            flags.setdefault(s, "")

    # Each kind is spread over the first part of the list: (kind, share of the list it is spread over).
    pools: dict[str, list[str]] = {}
    for s, f in flags.items():
        kind = next((k for k in ("m", "0123456", "s", "g", "r", "b", "h") if set(k) & set(f)), "")
        pools.setdefault(kind, []).append(s)
    spread = {"m": 0.15, "0123456": 0.25, "s": 0.4, "g": 0.4, "r": 0.5, "b": 0.5, "h": 0.5, "": 1.0}
    placed = [
        (spread[kind] * (i + 0.5) / len(pool), kind, s) for kind, pool in pools.items() for i, s in enumerate(pool)
    ]
    for _, _, s in sorted(placed):
        print(int(id_of[s].removeprefix("ENSG")), s, flags[s], sep="\t")
    print(len(flags), {k: len(v) for k, v in pools.items()}, file=sys.stderr)


def ribosomal(symbol: str) -> bool:
    stem = symbol[3:].rstrip("XYAL")
    return symbol[:3] in ("RPL", "RPS") and (stem.isdigit() or symbol in ("RPLP0", "RPLP1", "RPLP2", "RPSA"))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
