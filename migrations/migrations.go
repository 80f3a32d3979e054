// Package migrations embeds the schema of each store engine and brings a store up to it.
//
// Migrations are numbered 1, 2, 3 … without a gap and go forward only. Each statement can be run again (IF NOT EXISTS),
// so that a migration that died half-way is simply begun anew, and none drops data.
package migrations

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"

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

// Up applies, through golang-migrate's driver, what the engine's schema lacks. Only one caller at a time may be in it
// for one store: the engine sees to that. The driver stays open.
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
	if dirty { // an earlier run died in the middle of this version: again from the one before it
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

// SchemaError is why a program refuses a store that it reached: `twtr migrate` would make of its schema what is needed.
type SchemaError string

func (e SchemaError) Error() string { return string(e) + ": run `twtr migrate`" }

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
