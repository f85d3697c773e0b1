"""The report: tables, figures, claims and the page. Needs every evaluation."""


use rule folder as report with:
    """Draws up the report."""
    output:
        report(directory("{path}"), category="Claims", htmlindex="index.html"),
    wildcard_constraints:
        path=RUN.family("report"),
