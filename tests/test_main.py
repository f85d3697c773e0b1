"""`orchard`, the console command."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from orchard.__main__ import GROUPS, main


def test_help_groups_the_commands_by_what_a_user_wants(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    shown = capsys.readouterr().out
    for group, commands in GROUPS.items():
        block = re.search(rf"^{group}:\n((?:  .*\n)+)", shown, re.M)[1]
        assert re.findall(r"^  (\S+)", block, re.M) == list(commands)
    assert max(map(len, shown.splitlines())) <= 120


@pytest.mark.parametrize("name", [name for commands in GROUPS.values() for name in commands])
def test_each_command_says_more_of_itself(name, capsys):
    with pytest.raises(SystemExit) as end:
        main([name, "--help"])
    assert end.value.code == 0
    assert next(group[name].help for group in GROUPS.values() if name in group) in " ".join(
        capsys.readouterr().out.split()
    )


def test_it_is_installed_as_orchard():
    script = Path(sys.executable).parent / "orchard"
    by_name = subprocess.check_output([script, "--help"], text=True)
    assert by_name == subprocess.check_output([sys.executable, "-m", "orchard", "--help"], text=True)
