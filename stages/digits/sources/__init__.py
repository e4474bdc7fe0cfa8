"""Where archives come from: mirrors, and the digits bundled with scikit-learn. Used by download alone."""
