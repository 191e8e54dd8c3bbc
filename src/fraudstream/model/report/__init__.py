"""`report.html` of an artifact: one page to be looked at, made from the evaluation and the manifest alone."""
