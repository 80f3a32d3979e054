// Command twtr runs one process of the system; see twtr help.
package main

import (
	"os"

	"github.com/twtr-dev/twtr/cmd"
)

// version is set at build time.
var version string

func main() {
	os.Exit(cmd.Main(os.Args[1:], version, os.Stdout, os.Stderr))
}
