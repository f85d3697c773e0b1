"""What a user sees when something is wrong: one message, the log's name, and nothing lost."""


def test_a_bad_config_starts_nothing(pulled):
    pulled.set("sft.trainer.epochs", 0)
    try:
        done = pulled.run("snakemake", "--cores", "2", ok=False)
    finally:
        pulled.run("git", "checkout", "-q", "config.yaml")
    printed = done.stdout + done.stderr
    assert done.returncode != 0
    assert "sft.trainer.epochs" in printed
    assert [word for word in ("found:", "rule:", "why:", "fix:") if word not in printed] == []
    assert "Traceback" not in printed
    assert "Job stats" not in printed
    assert pulled.run("dvc", "status", "--json").stdout.strip() == "{}"


def test_an_override_that_dvc_cannot_see_is_refused(pulled):
    done = pulled.run("snakemake", "--cores", "2", "--config", "name=x", ok=False)
    assert done.returncode != 0
    assert "edit config.yaml" in done.stdout + done.stderr


def test_a_failed_stage_names_its_log_and_leaves_earlier_outputs(pulled):
    before = pulled.lock()
    failing = "raise UserError(found='a', rule='b', why='c', fix='d')\n    author = stage.params(Author"
    pulled.edit("src/orchard/stages/respond.py", "author = stage.params(Author", failing)
    done = pulled.run("snakemake", "--cores", "2", ok=False)
    pulled.run("git", "checkout", "-q", "src")
    assert done.returncode != 0
    assert "logs/data/responses/" in done.stdout + done.stderr
    assert "found: a" in done.stdout + done.stderr  # the log itself is shown
    assert pulled.lock() == before
    pulled.snakemake("--cores", "2")
    assert pulled.executed() == set()


def test_a_single_output_can_be_asked_for_and_is_seen_stale(pulled):
    pulled.set("report.confidence", 0.9)
    try:
        printed = pulled.snakemake("-n", "results/report")
    finally:
        pulled.run("git", "checkout", "-q", "config.yaml")
    assert "Nothing to be done" not in printed
