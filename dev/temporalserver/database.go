package temporalserver

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/server/common/config"
	"go.temporal.io/server/common/persistence/sql/sqlplugin"
	"go.temporal.io/server/common/persistence/sql/sqlplugin/sqlite"
	sqliteschema "go.temporal.io/server/schema/sqlite"
	"google.golang.org/protobuf/types/known/durationpb"
)

// retention is how long a closed workflow is kept. The schema's default of 24 h would lose Friday's workflows by Monday.
const retention = 7 * 24 * time.Hour

// databases are the two that a server uses. The plugin opens one connection per database, so lists of workflows and the three
// visibility writes of each workflow do not wait for the writes that make workflows progress, nor the other way round.
type databases struct{ workflows, visibility *config.SQL }

// openDatabases returns databases that have their schema and the namespace.
func openDatabases(ctx context.Context, file, namespace string) (databases, error) {
	var dbs databases
	var err error
	if dbs.workflows, err = openDatabase(ctx, file); err != nil {
		return databases{}, err
	}
	if dbs.visibility, err = openDatabase(ctx, visibilityFile(file)); err != nil {
		return databases{}, err
	}
	ns, err := sqliteschema.NewNamespaceConfig(clusterName, namespace, false, nil)
	if err != nil {
		return databases{}, err
	}
	ns.Detail.Config.Retention = durationpb.New(retention)
	return dbs, sqliteschema.CreateNamespaces(dbs.workflows, ns)
}

// visibilityFile is temporal-visibility.db for temporal.db, and empty for memory.
func visibilityFile(file string) string {
	if file == "" {
		return ""
	}
	ext := filepath.Ext(file)
	return strings.TrimSuffix(file, ext) + "-visibility" + ext
}

// openDatabase returns a database that has the schema: always the whole one, because the library has no function for one half.
// The unused tables stay empty. All users of the same configuration in a process share its connection, which the plugin never
// closes.
func openDatabase(ctx context.Context, file string) (*config.SQL, error) {
	if file == "" {
		return &config.SQL{
			PluginName: sqlite.PluginName,
			// A database in memory is found by its name within the process, so the name must be unique. The plugin creates its schema.
			DatabaseName:      uuid.NewString(),
			ConnectAttributes: map[string]string{"mode": "memory", "cache": "shared"},
		}, nil
	}
	path, err := filepath.Abs(file)
	if err != nil {
		return nil, err
	}
	if err := keepPrivate(path); err != nil {
		return nil, err
	}
	escaped := (&url.URL{Path: path}).EscapedPath() // the plugin makes a URI of it without escaping
	if err := createSchema(ctx, escaped); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return &config.SQL{
		PluginName:   sqlite.PluginName,
		DatabaseName: escaped,
		ConnectAttributes: map[string]string{
			"mode": "rw",
			// The plugin makes a pragma of each attribute that it does not know. With these two a commit is a write without an fsync:
			// it survives a kill -9, but not a power failure. The plugin's default of one connection stays: with more, the writers
			// wait for each other and everything gets slower.
			"journal_mode": "wal",
			"synchronous":  "normal",
		},
	}, nil
}

// keepPrivate creates the file unless it exists, and lets only its owner read it: histories contain what users wrote. SQLite gives
// new -wal and -shm files the mode of the database.
func keepPrivate(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if err := os.Chmod(path+suffix, 0o600); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// createSchema creates the tables unless they exist, in one transaction: a process killed in the middle must not leave a file
// that no server starts on.
func createSchema(ctx context.Context, escapedPath string) error {
	db, err := sql.Open("sqlite", "file:"+escapedPath+"?mode=rw") // the driver that the plugin registers
	if err != nil {
		return err
	}
	defer db.Close()
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // does nothing after a commit
	var tables int
	if err := tx.QueryRowContext(ctx, `SELECT count(*) FROM sqlite_master WHERE name = 'namespaces'`).Scan(&tables); err != nil {
		return err
	}
	if tables > 0 {
		return nil
	}
	if err := sqliteschema.SetupSchemaOnDB(schemaTx{ctx: ctx, tx: tx}); err != nil {
		return err
	}
	return tx.Commit()
}

// schemaTx implements the part of AdminDB that SetupSchemaOnDB uses.
type schemaTx struct {
	sqlplugin.AdminDB
	ctx context.Context
	tx  *sql.Tx
}

func (s schemaTx) Exec(stmt string, args ...any) error {
	_, err := s.tx.ExecContext(s.ctx, stmt, args...)
	return err
}
