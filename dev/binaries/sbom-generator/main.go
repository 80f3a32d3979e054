// Command sbom-generator writes an SBOM of the Go programs in a directory, from the build information in them.
//
//	sbom-generator DIRECTORY   prints it, in SPDX's JSON
//
// Without an argument it writes that of an image, by BuildKit's protocol for generators. So it stands in for the default generator,
// docker/buildkit-syft-scanner, where that cannot be pulled.
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
	"strconv"
	"strings"
	"time"

	"github.com/spdx/tools-golang/spdx"
	"github.com/spdx/tools-golang/spdx/v2/common"
)

func main() {
	if len(os.Args) == 2 {
		must(json.NewEncoder(os.Stdout).Encode(document(os.Args[1])))
		return
	}
	source, destination := os.Getenv("BUILDKIT_SCAN_SOURCE"), os.Getenv("BUILDKIT_SCAN_DESTINATION")
	// An in-toto statement. BuildKit adds what it is about: the image.
	statement, err := json.Marshal(map[string]any{
		"_type": "https://in-toto.io/Statement/v0.1", "predicateType": "https://spdx.dev/Document", "predicate": document(source),
	})
	must(err)
	must(os.WriteFile(filepath.Join(destination, filepath.Base(source)+".spdx.json"), statement, 0o600))
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

// document is the SBOM of the programs below source, made now or at the time that SOURCE_DATE_EPOCH says.
func document(source string) *spdx.Document {
	name, created := filepath.Base(source), time.Now()
	if epoch, err := strconv.ParseInt(os.Getenv("SOURCE_DATE_EPOCH"), 10, 64); err == nil {
		created = time.Unix(epoch, 0)
	}
	packages, relationships, err := scan(source)
	must(err)
	return &spdx.Document{
		SPDXVersion: spdx.Version, DataLicense: spdx.DataLicense, SPDXIdentifier: "DOCUMENT",
		DocumentName: name, DocumentNamespace: "https://github.com/twtr-dev/twtr/sbom/" + name,
		CreationInfo: &spdx.CreationInfo{
			Created:  created.UTC().Format(time.RFC3339),
			Creators: []common.Creator{{CreatorType: "Tool", Creator: "twtr-sbom-generator"}},
		},
		Packages: packages, Relationships: relationships,
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
