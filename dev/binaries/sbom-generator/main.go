// Command sbom-generator writes an SBOM of an image's Go programs by BuildKit's protocol for generators. It stands in for the
// default generator, docker/buildkit-syft-scanner, where that cannot be pulled.
package main

import (
	"debug/buildinfo"
	"encoding/json"
	"fmt"
	"io/fs"
	"log"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"time"

	"github.com/spdx/tools-golang/spdx"
	"github.com/spdx/tools-golang/spdx/v2/common"
)

func main() {
	source, destination := os.Getenv("BUILDKIT_SCAN_SOURCE"), os.Getenv("BUILDKIT_SCAN_DESTINATION")
	name := filepath.Base(source)
	packages, relationships, err := scan(source)
	if err != nil {
		log.Fatalf("scan %s: %v", source, err)
	}
	document := &spdx.Document{
		SPDXVersion: spdx.Version, DataLicense: spdx.DataLicense, SPDXIdentifier: "DOCUMENT",
		DocumentName: name, DocumentNamespace: "https://github.com/twtr-dev/twtr/sbom/" + name,
		CreationInfo: &spdx.CreationInfo{
			Created:  time.Now().UTC().Format(time.RFC3339),
			Creators: []common.Creator{{CreatorType: "Tool", Creator: "twtr-sbom-generator"}},
		},
		Packages: packages, Relationships: relationships,
	}
	// An in-toto statement. BuildKit adds what it is about: the image.
	statement, err := json.Marshal(map[string]any{
		"_type": "https://in-toto.io/Statement/v0.1", "predicateType": "https://spdx.dev/Document", "predicate": document,
	})
	if err != nil {
		log.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(destination, name+".spdx.json"), statement, 0o600); err != nil {
		log.Fatal(err)
	}
}

// scan returns a package for each module of each Go program below root. The document describes the main modules, which contain
// the others.
func scan(root string) (packages []*spdx.Package, relationships []*spdx.Relationship, err error) {
	add := func(module *debug.Module, of common.ElementID, relationship string) common.ElementID {
		id := common.ElementID(fmt.Sprintf("Package-%d", len(packages)))
		packages = append(packages, &spdx.Package{
			PackageName: module.Path, PackageSPDXIdentifier: id, PackageVersion: module.Version, PackageDownloadLocation: "NOASSERTION",
			PackageExternalReferences: []*spdx.PackageExternalReference{{
				Category: common.CategoryPackageManager, RefType: common.TypePackageManagerPURL,
				Locator: "pkg:golang/" + module.Path + "@" + module.Version,
			}},
		})
		relationships = append(relationships, &spdx.Relationship{
			RefA: common.DocElementID{ElementRefID: of}, RefB: common.DocElementID{ElementRefID: id}, Relationship: relationship,
		})
		return id
	}
	err = filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() || strings.Contains(path, "/zoneinfo/") {
			return err
		}
		info, err := buildinfo.ReadFile(path)
		if err != nil {
			return nil //nolint:nilerr // not a Go program
		}
		main := add(&info.Main, "DOCUMENT", common.TypeRelationshipDescribe)
		add(&debug.Module{Path: "stdlib", Version: info.GoVersion}, main, common.TypeRelationshipContains)
		for _, module := range info.Deps {
			if module.Replace != nil {
				module = module.Replace
			}
			add(module, main, common.TypeRelationshipContains)
		}
		return nil
	})
	return packages, relationships, err
}
