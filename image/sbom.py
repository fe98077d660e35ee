"""The bill of materials as SPDX 2.3 JSON: Ringway, each Debian package with a file in the image, each that was compiled into a program."""

import hashlib
import json
import re
import uuid

import debian
from content import OURS, Content, Entry

NAMESPACE = uuid.UUID("6f8a9d0e-5b37-5d1c-9a51-2f0f4c1b7a11")  # Of our documents; any constant will do.


def identifier(kind: str, name: str) -> str:
    """Letters, digits, '.' and '-' only; two names never give one identifier: packages have no upper-case letters, paths get a digest."""
    if kind == "Package":
        return "SPDXRef-Package-" + re.sub(r"[^a-z0-9.-]", lambda match: f".{ord(match.group()):02X}", name)
    return f"SPDXRef-File-{hashlib.sha256(name.encode()).hexdigest()[:16]}-" + re.sub(r"[^A-Za-z0-9.]+", "-", name.rsplit("/", 1)[1])


def verification_code(files: list[Entry]) -> str:
    """SPDX 2.3 section 7.9."""
    return hashlib.sha1("".join(sorted(hashlib.sha1(entry.content).hexdigest() for entry in files)).encode()).hexdigest()


def describe(name: str, version: str, files: list[Entry], **more) -> dict:
    out = {"SPDXID": identifier("Package", name), "name": name, "versionInfo": version, "downloadLocation": "NOASSERTION",
           "licenseConcluded": "NOASSERTION", "licenseDeclared": "NOASSERTION", "copyrightText": "NOASSERTION", "filesAnalyzed": bool(files), **more}
    if files:
        out["packageVerificationCode"] = {"packageVerificationCodeValue": verification_code(files)}
        out["licenseInfoFromFiles"] = ["NOASSERTION"]
    return out


def describe_debian(package: debian.Package, files: list[Entry]) -> dict:
    return describe(package.name, package.version, files, supplier="Organization: Debian",
                    sourceInfo=f"built from the source package {package.source} {package.source_version}",
                    externalRefs=[{"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": package.purl}])


def describe_file(entry: Entry) -> dict:
    return {"SPDXID": identifier("File", entry.path), "fileName": "." + entry.path, "licenseConcluded": "NOASSERTION",
            "licenseInfoInFiles": ["NOASSERTION"], "copyrightText": "NOASSERTION",
            "checksums": [{"algorithm": "SHA1", "checksumValue": hashlib.sha1(entry.content).hexdigest()},
                          {"algorithm": "SHA256", "checksumValue": entry.sha256}]}


def relation(one: str, kind: str, other: str) -> dict:
    return {"spdxElementId": one, "relationshipType": kind, "relatedSpdxElement": other}


def document(content: Content, version: str, revision: str, created: str) -> str:
    files = [entry for entry in content.entries() if not entry.folder and not entry.link]
    by_package: dict[str, list[Entry]] = {}
    for entry in files:
        by_package.setdefault(entry.package, []).append(entry)
    ours = describe(OURS, version, by_package[OURS], supplier="Organization: Ringway", licenseDeclared="Apache-2.0",
                    primaryPackagePurpose="APPLICATION", sourceInfo=f"built from revision {revision}",
                    externalRefs=[{"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": f"pkg:generic/ringway@{version}"}])
    packages = [ours] + [describe_debian(package, by_package.get(package.name, [])) for package in content.packages]
    packages += [describe_debian(package, []) for package in content.compiled_in]
    relations = [relation("SPDXRef-DOCUMENT", "DESCRIBES", ours["SPDXID"])]
    relations += [relation(ours["SPDXID"], "DEPENDS_ON", identifier("Package", package.name)) for package in content.packages]
    # Headers and static libraries: their code is inside our programs.
    relations += [relation(ours["SPDXID"], "STATIC_LINK", identifier("Package", package.name)) for package in content.compiled_in]
    relations += [relation(identifier("Package", entry.package), "CONTAINS", identifier("File", entry.path)) for entry in files]
    body = {"spdxVersion": "SPDX-2.3", "dataLicense": "CC0-1.0", "SPDXID": "SPDXRef-DOCUMENT", "name": f"ringway-{version}",
            "creationInfo": {"created": created, "creators": ["Organization: Ringway", f"Tool: ringway-image-{version}"]},
            "packages": packages, "files": [describe_file(entry) for entry in files], "relationships": relations}
    # One document, one name: it follows from what the document says.
    name = uuid.uuid5(NAMESPACE, hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest())
    return json.dumps({**body, "documentNamespace": f"urn:uuid:{name}"}, indent=1) + "\n"
