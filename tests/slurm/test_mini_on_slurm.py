"""egs/mini with every stage through utils/slurm.py, on a real Slurm."""

import json
import sys
from pathlib import Path

import pytest
from whole_recipes import copy_repository, run_recipe, shorten

pytestmark = [pytest.mark.slurm, pytest.mark.slow, pytest.mark.java, pytest.mark.timeout(1800)]


def test_every_stage_through_slurm(tmp_path, slurm_env):
    recipe = copy_repository(tmp_path / "it's on Slurm") / "egs/mini"
    # The site's own options: this cluster's controller is asked more often than is kind to a real one.
    (recipe / "conf/slurm.local.conf").write_text("default time=0:30:00\n")
    environment = {
        **slurm_env,
        "PATH": f"{Path(sys.executable).parent}:{slurm_env['PATH']}",
        "cmd_backend": "slurm",
    }
    systems = shorten(recipe, 2)
    printed = run_recipe(recipe, environment, *systems, "--nj", "3", "--inference-nj", "2")
    assert "Successfully finished." in printed and "SPIDEr" in printed
    assert "    epoch 2/2 " in printed  # the log of the job, followed
    logs = [path for path in recipe.rglob("*.log") if path.parent.name == "log" or path.parent.name.endswith(".log")]
    logs = [path for path in logs if path.is_file()]
    assert len(logs) >= 25
    for log in logs:
        if log.name == "fetch.log":  # files are fetched here: compute nodes often have no connection
            continue
        assert "# SLURM_JOB_ID=" in log.read_text(), log
        record = json.loads(Path(f"{log}.json").read_text())
        assert record["rc"] == 0 and record["slurm_id"]
    assert "Nothing to do" in run_recipe(recipe, environment, *systems)
