package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/wechatqr/wechatqr/channels"
	"github.com/wechatqr/wechatqr/cmd/channeld/internal/store"
	"github.com/wechatqr/wechatqr/cmd/channeld/internal/web"
)

// copyTo copies the ledger and the desk's tables into another database, as of now.
func (d *desk) copyTo(
	ctx context.Context, target string, progress func(channels.CopyProgress),
) (err error) {
	to, err := store.Open(ctx, target)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, to.Close()) }()
	if err := d.ledger.CopyTo(ctx, to.DB(), to.Dialect(), progress); err != nil {
		return err
	}
	return d.store.CopyTo(ctx, to)
}

// printCopy is -copy.
func printCopy(ctx context.Context, c *config, stdout io.Writer, logger *slog.Logger) error {
	if err := c.checkDatabase(); err != nil {
		return err
	}
	key, err := c.loadPersonKey()
	if err != nil {
		return err
	}
	return withDesk(ctx, *c, &key, logger, func(d *desk) error {
		if !d.config.isSetUp() {
			return fmt.Errorf("channeld: -copy: the account is neither in the environment nor in %s",
				c.accountFile)
		}
		return d.printCopy(ctx, c.copyTarget, stdout)
	})
}

func (d *desk) printCopy(ctx context.Context, target string, stdout io.Writer) error {
	shown := time.Time{}
	err := d.copyTo(ctx, target, func(p channels.CopyProgress) {
		if time.Since(shown) > time.Second {
			shown = time.Now()
			_, _ = fmt.Fprintf(stdout, "%d of %d rows\n", p.Rows, p.Total)
		}
	})
	if err != nil {
		return err
	}
	same := "person key"
	if file := d.config.accountFile; file != "" {
		same += " and account: -account " + file
	}
	_, err = fmt.Fprintln(stdout, "copied and verified: start channeld with that -db and the same",
		same)
	return err
}

// backup sends a copy as a SQLite file.
func (d *desk) backup(w http.ResponseWriter, r *http.Request) {
	dir, err := os.MkdirTemp("", "channeld-backup")
	if err == nil {
		defer func() { _ = os.RemoveAll(dir) }()
		err = d.sendBackup(w, r, filepath.Join(dir, "backup.db"))
	}
	if err != nil {
		web.LogFault(d.logger.Error, r, "channeld: backup", err)
		http.Error(w, "channeld: the backup failed: see the log", http.StatusInternalServerError)
	}
}

func (d *desk) sendBackup(w http.ResponseWriter, r *http.Request, path string) error {
	if err := d.copyTo(r.Context(), path, nil); err != nil {
		return err
	}
	name := "channeld-" + time.Now().In(d.config.account.Location).Format("20060102-1504") + ".db"
	h := w.Header()
	h.Set("Content-Type", "application/vnd.sqlite3")
	h.Set("Content-Disposition", `attachment; filename="`+name+`"`)
	h.Set("Cache-Control", "no-store")
	http.ServeFile(w, r, path)
	return nil
}
