"""The stage of nano's box head: it learns where in a whole picture things lie that words name."""
