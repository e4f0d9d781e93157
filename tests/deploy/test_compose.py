"""docker-compose.yml and the Dockerfile, checked without Docker: what they name is there.

The compose file is checked against the public Compose specification, and every command, setting
and file in it against the worker's own.
"""

from __future__ import annotations

import copy
import json
import re
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from tests.deploy.known import known_commands, known_variables
from tests.deploy.specification import validate_compose
from worker.commands.cli import _command_parser, _load
from worker.config.settings import load_settings
from worker.ledger.open import _parts

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = [name for name, one in SERVICES.items() if one["image"] == "ledger-worker:local"]

NEEDED = {
    "backfill", "grafana", "kafka", "postgres", "prometheus", "registry", "schemas", "settlements",
    "statsd", "sync", "tigerbeetle", "topics", "traffic", "webhooks", "worker",
}  # fmt: skip


def test_everything_is_there() -> None:
    """Broker, ledger, registry, database, monitoring, set-up, traffic and workers."""
    assert set(SERVICES) == NEEDED
    assert set(COMPOSE) <= {
        "name", "services", "networks", "volumes", "secrets", "x-worker",
    }  # fmt: skip


def test_the_specification_takes_the_file() -> None:
    """The Compose specification's own schema finds nothing, and would find a wrong key."""
    validate_compose(COMPOSE)
    wrong = copy.deepcopy(COMPOSE)
    wrong["services"]["worker"]["depend_on"] = wrong["services"]["worker"].pop("depends_on")
    with pytest.raises(jsonschema.ValidationError, match="depend_on"):
        validate_compose(wrong)


@pytest.mark.parametrize("name", SERVICES)
def test_services_are_well_formed(name: str) -> None:
    """A pinned tag, and named volumes and networks that are declared."""
    service = SERVICES[name]
    image, _, tag = service["image"].rpartition(":")
    assert image
    assert tag not in {"", "latest"}
    for volume in service.get("volumes", []):
        source = volume.split(":")[0]
        if source.startswith("./"):
            assert (ROOT / source).exists(), source
        else:
            assert source in COMPOSE["volumes"]
    declared = {"default", *COMPOSE["networks"]}
    assert set(service.get("networks", ["default"])) <= declared


@pytest.mark.parametrize("name", SERVICES)
def test_what_is_waited_for_can_happen(name: str) -> None:
    """A service that must be healthy has a check, and one that must complete is not restarted."""
    for other, how in SERVICES[name].get("depends_on", {}).items():
        awaited = SERVICES[other]
        if how["condition"] == "service_healthy":
            assert awaited["healthcheck"]["test"]
        else:
            assert how["condition"] == "service_completed_successfully"
            assert "restart" not in awaited


def test_services_that_stay_have_health_checks() -> None:
    """Every service that is not done after a while is checked: ours by the image's own check."""
    passing = {"topics", "schemas", "traffic", "backfill"}
    by_the_image = {"worker", "webhooks", "settlements", "sync"}
    for name in set(SERVICES) - passing - by_the_image:
        assert SERVICES[name]["healthcheck"]["test"], name
    for name in by_the_image:
        assert "healthcheck" not in SERVICES[name]
    assert "HEALTHCHECK" in (ROOT / "Dockerfile").read_text()


@pytest.mark.parametrize("name", OURS)
def test_our_commands_are_understood(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each command line and each variable is one that the worker itself takes."""
    service = SERVICES[name]
    for key, value in service["environment"].items():
        assert key in known_variables()
        if not key.endswith("_FILE"):
            monkeypatch.setenv(key, value)
    load_settings()
    for words in command_lines(service):
        assert words[0] in known_commands()
        parser = _command_parser(words[0], _load(words[0].replace("-", "_")), config=None)
        parser.parse_args(words[1:])


def command_lines(service: dict[str, Any]) -> list[list[str]]:
    """What a service runs of ledger-worker, as words; a shell's variables as a number."""
    if "entrypoint" not in service:
        return [[str(word) for word in service["command"]]]
    script = "\n".join(service["command"])
    found = re.findall(r"ledger-worker ([^|\n]+)", script)
    assert found
    return [re.sub(r'"\$\$\([^)]*\)"', "1", line).split() for line in found]


def test_the_ledger_gets_what_it_needs() -> None:
    """io_uring, locked memory, and addresses that are IPs where TigerBeetle reads them."""
    ledger = SERVICES["tigerbeetle"]
    assert ledger["security_opt"] == ["seccomp=unconfined"]
    assert ledger["cap_add"] == ["IPC_LOCK"]
    assert ledger["ulimits"] == {"memlock": -1}
    script = ledger["command"][2]
    addresses = re.findall(r"--(?:addresses|statsd)=(\S+)", script)
    assert len(addresses) == 2
    assert all(re.fullmatch(r"[0-9.]+:[0-9]+", one) for one in addresses)
    assert SERVICES["statsd"]["networks"]["statsd"]["ipv4_address"] in addresses[1]


@pytest.mark.parametrize("name", OURS)
def test_our_containers_are_locked_down(name: str) -> None:
    """Read-only, no capability, no new privileges, and a profile that is there."""
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    profile = next(one for one in service["security_opt"] if one.startswith("seccomp="))
    assert json.loads((ROOT / profile.removeprefix("seccomp=")).read_text())["syscalls"]


def test_hosts_are_services_of_the_file() -> None:
    """Every host that a setting or a configuration names is a service here."""
    settings = SERVICES["worker"]["environment"]
    hosts = {
        settings["LEDGER_WORKER_KAFKA__BOOTSTRAP_SERVERS"].split(":")[0],
        _parts(settings["LEDGER_WORKER_LEDGER__ADDRESSES"])[0],
        re.sub(r"^https?://|:\d+$", "", settings["LEDGER_WORKER_SCHEMA_REGISTRY__URL"]),
    }
    assert hosts <= set(SERVICES)
    prometheus = yaml.safe_load((ROOT / "compose" / "prometheus.yml").read_text())
    jobs = {one["job_name"]: one for one in prometheus["scrape_configs"]}
    scraped = jobs["ledger-worker"]["dns_sd_configs"][0]["names"]
    assert scraped == ["worker", "webhooks", "settlements"]
    assert set(scraped) <= set(SERVICES)
    assert jobs["ledger-worker"]["dns_sd_configs"][0]["port"] == load_settings().http.port
    assert jobs["tigerbeetle"]["static_configs"][0]["targets"] == ["statsd:9102"]


def test_stripe_comes_in_only_where_it_is_wanted() -> None:
    """The feed's three run with their profile; each reads its secret from a file, and no other."""
    given = {"webhooks": "WEBHOOK_SECRETS", "settlements": "API_KEY", "backfill": "API_KEY"}
    for name, service in SERVICES.items():
        assert service.get("profiles") == (["stripe"] if name in given else None)
        assert not {name for name in service.get("depends_on", {}) if name in given}
        if name in given:
            (secret,) = service["secrets"]
            variable = f"LEDGER_WORKER_FEED__{given[name]}_FILE"
            assert service["environment"][variable] == f"/run/secrets/{secret}"
            files = {key for key in service["environment"] if key.endswith("_FILE")}
            assert files == {variable}
            assert COMPOSE["secrets"][secret]["file"].startswith("./")


def test_grafana_finds_its_dashboard_and_source() -> None:
    """The provisioning names the folder that is mounted, and the source that is there."""
    provisioning = ROOT / "compose" / "grafana" / "provisioning"
    folder = yaml.safe_load((provisioning / "dashboards" / "files.yml").read_text())
    mounted = [one.split(":")[1] for one in SERVICES["grafana"]["volumes"]]
    path = folder["providers"][0]["options"]["path"]
    assert any(one.startswith(f"{path}/") for one in mounted)
    source = yaml.safe_load((provisioning / "datasources" / "prometheus.yml").read_text())
    assert source["datasources"][0]["url"] == "http://prometheus:9090"
    assert source["datasources"][0]["type"] == "prometheus"


# The image


def dockerfile() -> str:
    return (ROOT / "Dockerfile").read_text()


def test_the_image_is_made_of_files_that_it_may_see() -> None:
    """Each file that the Dockerfile copies is here, and let through by .dockerignore."""
    allowed = {
        line.removeprefix("!")
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line.startswith("!")
    }
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", dockerfile(), re.MULTILINE)
    names = {name for line in copied for name in line.split()}
    assert names == allowed
    for name in names:
        assert (ROOT / name).exists(), name


def test_the_image_is_slim_not_root_and_has_no_compiler() -> None:
    """Its last stage on a pinned slim base; hashes for all packages; a numeric user; a check."""
    text = dockerfile()
    base = re.search(r"^ARG PYTHON=(\S+)", text, re.MULTILINE)
    assert base
    assert re.fullmatch(r"python:3\.\d+\.\d+-slim-\w+", base[1])
    compiler = re.search(r"^ARG COMPILER=(\S+)", text, re.MULTILINE)
    assert compiler
    assert compiler[1] == base[1].replace("-slim", "")
    assert re.findall(r"^FROM (\S+)", text, re.MULTILINE)[-1] == "${PYTHON}"
    assert len(re.findall(r"pip install --require-hashes", text)) == 2
    final = text.rpartition("\nFROM ")[2]
    assert "apt-get" not in text
    assert "USER 10001:10001" in final
    assert "/livez" in final
    assert 'ENTRYPOINT ["ledger-worker"]' in final
    for name in set(re.findall(r"LEDGER_WORKER_[A-Z_]+", text)):
        assert name in known_variables()


def test_every_command_works_in_the_image() -> None:
    """The image's lock file has what each optional feature needs: a job there reconciles too."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lock = (ROOT / "requirements-image.lock").read_text()
    pinned = set(re.findall(r"^([\w.-]+)==", lock, re.MULTILINE))
    for extra, needs in extras["optional-dependencies"].items():
        if extra not in {"dev", "build"}:
            names = {re.split(r"[\[<>=~!;]", need)[0] for need in needs}
            assert names <= pinned, extra
