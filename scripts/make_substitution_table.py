"""Make src/crystallite/data/substitution.csv: which elements replace each other in crystals.

    python scripts/make_substitution_table.py

Sources: the modified Pettifor scale of Glawe, Sanna, Gross and Marques, New J. Phys. 18, 093011 (2016), an
order of the elements in which neighbours replace each other in known crystals of the same structure; pymatgen
(Ong et al., Comput. Mater. Sci. 68, 314, 2013; MIT) for the oxidation states that are common or that the ICSD
has. An element that has none but 0 has 0.
"""

from __future__ import annotations

import csv
from pathlib import Path

from pymatgen.core import Element

PATH = Path(__file__).parents[1] / "src" / "crystallite" / "data" / "substitution.csv"
SCALE = """
    He Ne Ar Kr Xe Rn Fr Cs Rb K Na Li Ra Ba Sr Ca
    Eu Yb Lu Tm Y Er Ho Dy Tb Gd Sm Pm Nd Pr Ce La Ac Th Pa U Np Pu Am Cm Bk Cf Es Fm Md No Lr
    Sc Zr Hf Ti Ta Nb V Cr Mo W Re Tc Os Ru Ir Rh Pt Pd Au Ag Cu Ni Co Fe Mn Mg Zn Cd Hg
    Be Al Ga In Tl Pb Sn Ge Si B C N P As Sb Bi Po Te Se S O At I Br Cl F H
"""
COLUMNS = ["atomic_number", "symbol", "pettifor_number", "oxidation_states"]


def main() -> None:
    scale = SCALE.split()
    with PATH.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for number in range(1, 101):
            element = Element.from_Z(number)
            states = {*element.common_oxidation_states, *element.icsd_oxidation_states} - {0} or {0}
            place = scale.index(element.symbol) + 1
            writer.writerow([number, element.symbol, place, " ".join(map(str, sorted(states)))])


if __name__ == "__main__":
    main()
