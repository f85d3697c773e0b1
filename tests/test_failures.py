"""What a user sees when something is wrong: one message, the log's name, and nothing lost."""


def test_a_bad_config_starts_nothing(pulled):
    pulled.set("sft.trainer.epochs", 0)
    try:
        done = pulled.run("snakemake", "--cores", "2", ok=False)
    finally:
        pulled.run("git", "checkout", "-q", "config.yaml")
    said = done.stdout + done.stderr
    assert done.returncode != 0
    assert "sft.trainer.epochs" in said
    assert [word for word in ("found:", "rule:", "why:", "fix:") if word not in said] == []
    assert "Traceback" not in said
    assert "Job stats" not in said
    assert pulled.run("dvc", "status", "--json").stdout.strip() == "{}"


def test_an_override_that_dvc_cannot_see_is_refused(pulled):
    done = pulled.run("snakemake", "--cores", "2", "--config", "name=x", ok=False)
    assert done.returncode != 0
    assert "edit config.yaml" in done.stdout + done.stderr


def test_a_failed_stage_names_its_log_and_leaves_earlier_outputs(pulled):
    before = pulled.lock()
    pulled.edit("src/orchard/respond.py", "of, author = sys.argv[1:3]", "raise stage.UserError('a', 'b', 'c', 'd')")
    done = pulled.run("snakemake", "--cores", "2", ok=False)
    pulled.run("git", "checkout", "-q", "src")
    assert done.returncode != 0
    assert "logs/respond-" in done.stdout + done.stderr
    assert "found: a" in done.stdout + done.stderr  # the log itself is shown
    assert pulled.lock() == before
    pulled.snakemake("--cores", "2")
    assert pulled.executed() == set()


def test_a_single_output_can_be_asked_for_and_is_seen_stale(pulled):
    pulled.set("report.confidence", 0.9)
    try:
        said = pulled.snakemake("-n", "results/report")
    finally:
        pulled.run("git", "checkout", "-q", "config.yaml")
    assert "Nothing to be done" not in said
