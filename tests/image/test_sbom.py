"""The bill of materials names everything, once, and truly."""

import hashlib
import json
import re

SBOM = "usr/share/doc/ringway/sbom.spdx.json"


def test_in_the_image_and_beside_it(archive):
    assert json.loads(archive.members()[SBOM].data) == archive.bill


def test_shape_of_spdx(archive):
    bill = archive.bill
    assert bill["spdxVersion"] == "SPDX-2.3" and bill["dataLicense"] == "CC0-1.0" and bill["SPDXID"] == "SPDXRef-DOCUMENT"
    assert re.fullmatch(r"urn:uuid:[0-9a-f-]{36}", bill["documentNamespace"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", bill["creationInfo"]["created"])
    ids = [part["SPDXID"] for part in bill["packages"] + bill["files"]]
    assert len(ids) == len(set(ids))
    assert all(re.fullmatch(r"SPDXRef-[A-Za-z0-9.-]+", name) for name in ids)
    known = {*ids, "SPDXRef-DOCUMENT"}
    assert all(r["spdxElementId"] in known and r["relatedSpdxElement"] in known for r in bill["relationships"])
    for package in bill["packages"]:
        assert package["filesAnalyzed"] == ("packageVerificationCode" in package), package["name"]


def test_every_file_with_its_digest(archive):
    listed = {f["fileName"].removeprefix("./"): f for f in archive.bill["files"]}
    present = {name: m.data for name, m in archive.members().items() if m.info.isreg() and name != SBOM}
    assert set(listed) == set(present)
    for name, data in present.items():
        digests = {c["algorithm"]: c["checksumValue"] for c in listed[name]["checksums"]}
        assert digests == {"SHA1": hashlib.sha1(data).hexdigest(), "SHA256": hashlib.sha256(data).hexdigest()}, name


def test_every_library_belongs_to_a_package_with_a_version(archive):
    bill = archive.bill
    packages = {p["SPDXID"]: p for p in bill["packages"]}
    owner = {r["relatedSpdxElement"]: packages[r["spdxElementId"]] for r in bill["relationships"] if r["relationshipType"] == "CONTAINS"}
    libraries = [f for f in bill["files"] if re.search(r"\.so(\.|$)", f["fileName"])]
    assert len(libraries) > 10
    for library in libraries:
        package = owner[library["SPDXID"]]
        assert package["name"] != "ringway" and re.match(r"\d", package["versionInfo"].split(":")[-1]), library["fileName"]
        assert package["externalRefs"][0]["referenceLocator"].startswith(f"pkg:deb/debian/{package['name'].replace('+', '%2B')}@")


def test_scanners_find_the_same_packages(archive):
    """By dpkg's status entries, as in images without dpkg."""
    entries = {}
    for name, member in archive.members().items():
        if name.startswith("var/lib/dpkg/status.d/"):
            fields = dict(line.split(": ", 1) for line in member.data.decode().splitlines() if re.match(r"(Package|Version): ", line))
            entries[fields["Package"]] = fields["Version"]
    with_files = {p["name"]: p["versionInfo"] for p in archive.bill["packages"] if p["filesAnalyzed"] and p["name"] != "ringway"}
    assert entries == with_files


def test_what_was_compiled_in(archive):
    linked = {r["relatedSpdxElement"] for r in archive.bill["relationships"] if r["relationshipType"] == "STATIC_LINK"}
    names = {p["name"] for p in archive.bill["packages"] if p["SPDXID"] in linked}
    assert {"nlohmann-json3-dev", "libstdc++-12-dev"} <= names, names
