// Package migrations embeds the schema of each store engine and brings a store up to it.
//
// Migrations are numbered 1, 2, 3 … without a gap and go forward only. Each statement can be run again (IF NOT EXISTS),
// so that a migration that was interrupted starts over, and none drops data.
package migrations

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/golang-migrate/migrate/v4"
	"github.com/golang-migrate/migrate/v4/database"
	"github.com/golang-migrate/migrate/v4/source/iofs"
)

//go:embed cassandra/*.cql sqlite/*.sql
var files embed.FS

// Latest is the newest version of an engine's schema; engine is "cassandra" or "sqlite".
func Latest(engine string) int {
	names, err := fs.Glob(files, engine+"/*.up.*")
	if err != nil || len(names) == 0 {
		panic("migrations: no such engine: " + engine)
	}
	return len(names)
}

// Up applies the engine's missing migrations through golang-migrate's driver, which stays open. The engine must ensure that only
// one caller at a time runs it for one store.
func Up(engine string, driver database.Driver) error {
	source, err := iofs.New(files, engine)
	if err != nil {
		return err
	}
	defer source.Close()
	m, err := migrate.NewWithInstance("iofs", source, engine, driver)
	if err != nil {
		return err
	}
	version, dirty, err := m.Version()
	if err != nil && !errors.Is(err, migrate.ErrNilVersion) {
		return err
	}
	if int(version) > Latest(engine) { // a newer program's, which only added to it
		return Check(engine, int(version), dirty)
	}
	if dirty { // an earlier run was interrupted in the middle of this version: start over from the one before it
		before := int(version) - 1
		if before == 0 {
			before = database.NilVersion
		}
		if err := m.Force(before); err != nil {
			return err
		}
	}
	if err := m.Up(); err != nil && !errors.Is(err, migrate.ErrNoChange) {
		return fmt.Errorf("migrate %s: %w", engine, err)
	}
	return nil
}

// SchemaError says what a reachable store's schema lacks; `twtr migrate` adds it.
type SchemaError string

func (e SchemaError) Error() string { return string(e) + ": run `twtr migrate`" }

// IncompatibleError says that a store has the schema of an earlier twtr, which no migration leads on from, and what to do.
type IncompatibleError string

func (e IncompatibleError) Error() string {
	return "its schema is of an earlier, incompatible twtr: " + string(e)
}

// OfThisSchema reports whether a store that has the given columns in its table tweets, none if it has no such table, was made
// by the migrations of this package. Those of earlier versions of twtr bear the same numbers.
func OfThisSchema(columnsOfTweets []string) bool {
	return len(columnsOfTweets) == 0 || slices.Contains(columnsOfTweets, "body")
}

// Check returns a [SchemaError] if a store's schema is not at least [Latest].
func Check(engine string, version int, dirty bool) error {
	switch latest := Latest(engine); {
	case dirty:
		return SchemaError(fmt.Sprintf("the schema is in the middle of the migration to version %d", version))
	case version < latest:
		return SchemaError(fmt.Sprintf("the schema is at version %d, this program needs %d", version, latest))
	}
	return nil
}
