"""What is in the image: its bill of materials, and whether any of it has a known weakness.

    python .ci/supply_chain.py audit         0: none known, 1: some, 3: it could not be asked
    python .ci/supply_chain.py sbom FILE     CycloneDX

The invariant: a package that nobody could say anything about is never counted as a clean one:
pip-audit by itself ends with 0 and "No known vulnerabilities found" where it skipped them all.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from cyclonedx.contrib.hash.factories import HashTypeFactory
from cyclonedx.model import ExternalReference, ExternalReferenceType, XsUri
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot5
from packageurl import PackageURL
from pip_requirements_parser import RequirementsFile  # type: ignore[import-untyped] # it has none

from worker import __version__

ROOT: Final = Path(__file__).parents[1]
LOCK: Final = ROOT / "requirements-image.lock"
AUDIT_SECONDS_MAX: Final = 300


def audit() -> int:
    """Ask pip-audit about each package of the image's lock file; print what it found."""
    options = ["--require-hashes", "--disable-pip", "--progress-spinner", "off", "--format", "json"]
    try:
        done = subprocess.run(  # noqa: S603 - our own interpreter
            [sys.executable, "-m", "pip_audit", *options, "--requirement", str(LOCK)],
            capture_output=True,
            text=True,
            check=False,
            timeout=AUDIT_SECONDS_MAX,
        )
        report = json.loads(done.stdout)
    except (ValueError, subprocess.TimeoutExpired):
        report = {"dependencies": []}
    code, lines = verdict(report)
    print(*lines, sep="\n", file=sys.stdout if code == 0 else sys.stderr)
    return code


def verdict(report: dict[str, Any]) -> tuple[int, list[str]]:
    """The exit code and what to say, from pip-audit's report."""
    found = report["dependencies"]
    skipped = [one for one in found if "skip_reason" in one]
    weak = [
        f"{one['name']} {one['version']}: {each['id']}, mended in {', '.join(each['fix_versions'])}"
        for one in found
        for each in one.get("vulns", [])
    ]
    if weak:
        return 1, [*weak, f"{len(weak)} known weaknesses in the image's packages"]
    if skipped or not found:
        sentence = (
            f"nothing is known about {len(skipped) or 'any'} of the image's packages: the advisory"
            " service could not be reached, or does not know them; this is no clean audit"
        )
        return 3, [sentence]
    return 0, [f"{len(found)} packages, no known weakness"]


def sbom(target: Path) -> int:
    """Write what the image's lock file pins, with the hashes that pip accepts."""
    bom = Bom()
    worker = Component(
        name="ledger-worker",
        version=__version__,
        type=ComponentType.APPLICATION,
        bom_ref=f"ledger-worker=={__version__}",
    )
    bom.metadata.component = worker
    pinned = list(components())
    for one in pinned:
        bom.components.add(one)
    bom.register_dependency(worker, pinned)
    target.write_text(JsonV1Dot5(bom).output_as_string(indent=1) + "\n")
    print(f"{target}: {len(pinned)} packages")
    return 0


def components() -> Iterator[Component]:
    """Each package of the lock file."""
    for one in RequirementsFile.from_file(str(LOCK)).requirements:
        version = one.get_pinned_version
        purl = PackageURL("pypi", name=one.name, version=version)
        files = ExternalReference(
            type=ExternalReferenceType.DISTRIBUTION,
            url=XsUri(purl.to_string()),
            comment="each file that may be installed",
            hashes=[HashTypeFactory().from_composite_str(text) for text in one.hash_options],
        )
        yield Component(
            name=one.name,
            version=version,
            purl=purl,
            bom_ref=purl.to_string(),
            external_references=[files],
        )


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["audit"]:
            sys.exit(audit())
        case ["sbom", name]:
            sys.exit(sbom(Path(name)))
    sys.exit(__doc__)
