"""Characters for texts by chance, where a twin asks this Python for their properties."""

from __future__ import annotations

from hypothesis import strategies as st

UNASSIGNED = ("Cn", "Cs")  # Pythons differ in what is assigned, our tables do not; a surrogate is no text
ASSIGNED = st.characters(exclude_categories=UNASSIGNED)
