package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// documented runs the commands in a section of docs/deploy.md, in the directory of this run.
func (t *test) documented(ctx context.Context, heading string) error {
	text, err := os.ReadFile(filepath.Join(t.root, "docs", "deploy.md"))
	if err != nil {
		return err
	}
	var commands strings.Builder
	inside := false
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "#") {
			inside = strings.Trim(line, "# \n") == heading
		}
		if inside && strings.HasPrefix(line, "    ") {
			commands.WriteString(line)
		}
	}
	if commands.Len() == 0 {
		return fmt.Errorf("docs/deploy.md has no commands in a section %q", heading)
	}
	k := t.admin
	k.root = t.dir
	_, err = k.command(ctx, "set -euo pipefail\n"+commands.String(), "bash")
	return err
}
