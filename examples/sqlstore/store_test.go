package sqlstore_test

import (
	"context"
	"database/sql"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/examples/sqlstore"
	"github.com/wechatqr/wechatqr/tickets"
	"github.com/wechatqr/wechatqr/wechatqrtest"
)

// open opens the file. SQLite has one writer at a time, others wait.
func open(path string) (sqlstore.Store, error) {
	db, err := sql.Open("sqlite",
		"file:"+path+"?_pragma=busy_timeout(20000)&_pragma=journal_mode(wal)")
	if err != nil {
		return sqlstore.Store{}, err
	}
	_, err = db.Exec(sqlstore.Schema)
	return sqlstore.Store{DB: db}, err
}

func newStore(t *testing.T, path string) sqlstore.Store {
	t.Helper()
	store, err := open(path)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, store.DB.Close()) })
	return store
}

func TestStore(t *testing.T) {
	t.Parallel()
	wechatqrtest.TestTicketStore(t, func(t *testing.T) tickets.Store {
		return newStore(t, filepath.Join(t.TempDir(), "tickets.db"))
	})
}

// Four pools of connections to one file ask for one code, and then know it.
func TestOneCreation(t *testing.T) {
	t.Parallel()
	srv := wechatqrtest.Start(t)
	path := filepath.Join(t.TempDir(), "tickets.db")
	var wg sync.WaitGroup
	for range 4 {
		store := newStore(t, path)
		keeper, err := tickets.NewKeeper(srv.Credentials().AppID, srv.Client(), store)
		require.NoError(t, err)
		for range 50 {
			wg.Go(func() {
				_, err := keeper.Ticket(t.Context(),
					wechatqr.Permanent(wechatqr.SceneString("shop-7")))
				assert.NoError(t, err)
			})
		}
	}
	wg.Wait()
	assert.Len(t, srv.QRCodes(), 1)
}

func Example() {
	dir, err := os.MkdirTemp("", "tickets")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	store, err := open(filepath.Join(dir, "shops.db"))
	if err != nil {
		log.Fatal(err)
	}
	defer store.DB.Close()

	wx := wechatqrtest.NewServer() // in your program: wechatqr.New
	defer wx.Close()
	keeper, err := tickets.NewKeeper(wx.Credentials().AppID, wx.Client(), store)
	if err != nil {
		log.Fatal(err)
	}
	for range 2 { // also in another process
		ticket, err := keeper.Ticket(context.Background(),
			wechatqr.Permanent(wechatqr.SceneString("shop-7")))
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(ticket.Scene.Key(), len(wx.QRCodes()))
	}
	// Output:
	// shop-7 1
	// shop-7 1
}
