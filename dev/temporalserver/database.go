package temporalserver

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"path/filepath"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/server/common/config"
	"go.temporal.io/server/common/persistence/sql/sqlplugin"
	"go.temporal.io/server/common/persistence/sql/sqlplugin/sqlite"
	sqliteschema "go.temporal.io/server/schema/sqlite"
	"google.golang.org/protobuf/types/known/durationpb"
)

// retention is how long a closed workflow stays to be looked at. The schema's own 24 h would lose Friday's by Monday.
const retention = 7 * 24 * time.Hour

// openDatabase returns a database that has the schema and the namespace. The connections are shared within the process by all
// that use the same configuration, and the plugin never closes them.
func openDatabase(ctx context.Context, file, namespace string) (*config.SQL, error) {
	c := &config.SQL{PluginName: sqlite.PluginName}
	if file == "" {
		// Memory is found by its name within the process, hence one that no other server has. It gets the schema by itself.
		c.DatabaseName = uuid.NewString()
		c.ConnectAttributes = map[string]string{"mode": "memory", "cache": "shared"}
	} else {
		path, err := filepath.Abs(file)
		if err != nil {
			return nil, err
		}
		// The plugin makes a URI of it without escaping.
		c.DatabaseName = (&url.URL{Path: path}).EscapedPath()
		if err := createSchema(ctx, c.DatabaseName); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		c.ConnectAttributes = map[string]string{
			"mode": "rw",
			// Attributes the plugin doesn't know become pragmas of each connection. With these two a commit is a write and no
			// fsync; what was acknowledged survives a kill -9, though not a power failure. The plugin's one connection stays:
			// with more of them the writers wait for each other and everything gets slower.
			"journal_mode": "wal",
			"synchronous":  "normal",
		}
	}
	ns, err := sqliteschema.NewNamespaceConfig(clusterName, namespace, false, nil)
	if err != nil {
		return nil, err
	}
	ns.Detail.Config.Retention = durationpb.New(retention)
	if err := sqliteschema.CreateNamespaces(c, ns); err != nil {
		return nil, err
	}
	return c, nil
}

// createSchema makes the file and its tables unless they are there: all or nothing, since a process killed in the middle would
// else leave a file that no server starts on.
func createSchema(ctx context.Context, escapedPath string) error {
	db, err := sql.Open("sqlite", "file:"+escapedPath+"?mode=rwc") // the driver that the plugin brings
	if err != nil {
		return err
	}
	defer db.Close()
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // nothing after a commit
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

// schemaTx is as much of an AdminDB as SetupSchemaOnDB uses.
type schemaTx struct {
	sqlplugin.AdminDB
	ctx context.Context
	tx  *sql.Tx
}

func (s schemaTx) Exec(stmt string, args ...any) error {
	_, err := s.tx.ExecContext(s.ctx, stmt, args...)
	return err
}
