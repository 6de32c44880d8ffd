// The steps of the matrix with go-zookeeper/zk. Arguments: the connect string, then the steps to do.
//
// Prints of each "ok NAME" or "FAILED NAME: why". Where a step needs something done to the servers
// it prints "please WHAT" and waits for a line.
package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"sort"
	"strings"
	"time"

	"github.com/go-zookeeper/zk"
)

const timeout = 30 * time.Second

var hosts []string
var input = bufio.NewReader(os.Stdin)
var open = zk.WorldACL(zk.PermAll)

// client has every call end the step if it fails.
type client struct{ *zk.Conn }

func connected() client {
	logger := zk.WithLogger(log.New(io.Discard, "", 0))
	conn, events, err := zk.Connect(hosts, timeout, logger)
	must(err)
	deadline := time.After(timeout)
	for {
		select {
		case event := <-events:
			if event.State == zk.StateHasSession {
				return client{conn}
			}
		case <-deadline:
			panic("not connected")
		}
	}
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func fails(err, wanted error) {
	if !errors.Is(err, wanted) {
		panic(fmt.Sprintf("%v instead of %v", err, wanted))
	}
}

func check(truth bool, found ...any) {
	if !truth {
		panic(fmt.Sprint(found...))
	}
}

func (c client) create(path, data string) {
	made, err := c.Create(path, []byte(data), 0, open)
	must(err)
	check(made == path, made)
}

func (c client) absent(path string) {
	there, _, err := c.Exists(path)
	must(err)
	check(!there, path)
}

func expect(events <-chan zk.Event, kind zk.EventType, path string) {
	select {
	case event := <-events:
		check(event.Type == kind && event.Path == path, event)
	case <-time.After(15 * time.Second):
		panic("no event")
	}
}

func connect() {
	c := connected()
	defer c.Close()
	check(c.SessionID() != 0, "no session")
	check(c.State() == zk.StateHasSession, c.State())
}

func crud() {
	c := connected()
	defer c.Close()
	c.create("/crud", "one")
	_, err := c.Create("/crud", nil, 0, open)
	fails(err, zk.ErrNodeExists)
	data, stat, err := c.Get("/crud")
	must(err)
	check(string(data) == "one" && stat.Version == 0, string(data), stat)
	stat, err = c.Set("/crud", []byte("two"), 0)
	must(err)
	check(stat.Version == 1, stat)
	_, err = c.Set("/crud", nil, 0)
	fails(err, zk.ErrBadVersion)
	for count := 0; count < 2; count++ {
		path, err := c.Create("/crud/s-", nil, zk.FlagEphemeral|zk.FlagSequence, open)
		must(err)
		check(path == fmt.Sprintf("/crud/s-%010d", count), path)
	}
	fails(c.Delete("/crud", -1), zk.ErrNotEmpty)
	must(c.Delete("/crud/s-0000000000", -1))
	must(c.Delete("/crud/s-0000000001", -1))
	must(c.Delete("/crud", -1))
	_, _, err = c.Get("/crud")
	fails(err, zk.ErrNoNode)
}

func existsChildren() {
	c := connected()
	defer c.Close()
	c.absent("/none")
	c.create("/children", "")
	for _, name := range []string{"a", "b", "ü"} {
		c.create("/children/"+name, "x")
	}
	names, stat, err := c.Children("/children")
	must(err)
	sort.Strings(names)
	check(strings.Join(names, " ") == "a b ü" && stat.NumChildren == 3, names, stat)
	there, stat, err := c.Exists("/children/ü")
	must(err)
	check(there && stat.DataLength == 1, stat)
}

func dataWatch() {
	c, other := connected(), connected()
	defer c.Close()
	defer other.Close()
	c.create("/data", "")
	_, _, events, err := c.GetW("/data")
	must(err)
	_, err = other.Set("/data", []byte("x"), -1)
	must(err)
	expect(events, zk.EventNodeDataChanged, "/data")
	_, _, events, err = c.GetW("/data")
	must(err)
	must(other.Delete("/data", -1))
	expect(events, zk.EventNodeDeleted, "/data")
}

func childWatch() {
	c, other := connected(), connected()
	defer c.Close()
	defer other.Close()
	c.create("/child", "")
	_, _, events, err := c.ChildrenW("/child")
	must(err)
	other.create("/child/c", "")
	expect(events, zk.EventNodeChildrenChanged, "/child")
}

func existsWatch() {
	c, other := connected(), connected()
	defer c.Close()
	defer other.Close()
	there, _, events, err := c.ExistsW("/later")
	must(err)
	check(!there, "there")
	other.create("/later", "")
	expect(events, zk.EventNodeCreated, "/later")
}

func multi() {
	c := connected()
	defer c.Close()
	c.create("/gone", "")
	results, err := c.Multi(
		&zk.CreateRequest{Path: "/multi", Data: []byte("m"), Acl: open},
		&zk.SetDataRequest{Path: "/multi", Data: []byte("n"), Version: 0},
		&zk.CheckVersionRequest{Path: "/multi", Version: 1},
		&zk.DeleteRequest{Path: "/gone", Version: 0},
	)
	must(err)
	check(len(results) == 4 && results[0].String == "/multi" && results[1].Stat.Version == 1, results)
	c.absent("/gone")
	_, err = c.Multi(
		&zk.CreateRequest{Path: "/undone", Acl: open},
		&zk.CheckVersionRequest{Path: "/multi", Version: 7},
	)
	fails(err, zk.ErrBadVersion)
	c.absent("/undone")
}

func acl() {
	c, other := connected(), connected()
	defer c.Close()
	defer other.Close()
	must(c.AddAuth("digest", []byte("user:secret")))
	_, err := c.Create("/acl", []byte("mine"), 0, zk.AuthACL(zk.PermAll))
	must(err)
	acls, _, err := c.GetACL("/acl")
	must(err)
	check(acls[0].Scheme == "digest", acls)
	_, _, err = other.Get("/acl")
	fails(err, zk.ErrNoAuth)
	must(other.AddAuth("digest", []byte("user:wrong")))
	_, _, err = other.Get("/acl")
	fails(err, zk.ErrNoAuth)
	must(other.AddAuth("digest", []byte("user:secret")))
	data, _, err := other.Get("/acl")
	must(err)
	check(string(data) == "mine", string(data))
	stat, err := c.SetACL("/acl", zk.WorldACL(zk.PermRead), 0)
	must(err)
	check(stat.Aversion == 1, stat)
	_, err = c.Set("/acl", nil, -1)
	fails(err, zk.ErrNoAuth)
}

// settled asks again as long as there is no connection.
func settled(call func() error) {
	deadline := time.Now().Add(60 * time.Second)
	for {
		err := call()
		lost := errors.Is(err, zk.ErrConnectionClosed) || errors.Is(err, zk.ErrNoServer)
		if !lost || time.Now().After(deadline) {
			must(err)
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// survive finds session and ephemeral znode again after what happens to the servers.
func survive(event string) {
	c := connected()
	session, path := c.SessionID(), "/"+event
	_, err := c.Create(path, []byte("here"), zk.FlagEphemeral, open)
	must(err)
	fmt.Println("please", event)
	line, err := input.ReadString('\n')
	check(err == nil && line == "done\n", line, err)
	settled(func() error {
		there, stat, err := c.Exists(path)
		if err == nil {
			check(there && stat.EphemeralOwner == session, there, stat)
		}
		return err
	})
	check(c.SessionID() == session, c.SessionID())
	settled(func() error {
		stat, err := c.Set(path, []byte("there"), 0)
		if err == nil {
			check(stat.Version == 1, stat)
		}
		return err
	})
	c.Close()
	other := connected()
	defer other.Close()
	_, err = other.Sync("/")
	must(err)
	other.absent(path)
}

var steps = map[string]func(){
	"connect":         connect,
	"crud":            crud,
	"exists_children": existsChildren,
	"data_watch":      dataWatch,
	"child_watch":     childWatch,
	"exists_watch":    existsWatch,
	"multi":           multi,
	"acl":             acl,
	"restart":         func() { survive("restart") },
	"leader_change":   func() { survive("leader_change") },
}

func attempt(name string) (failed bool) {
	defer func() {
		if why := recover(); why != nil {
			fmt.Printf("FAILED %s: %v\n", name, why)
			failed = true
		}
	}()
	steps[name]()
	fmt.Println("ok", name)
	return false
}

func main() {
	hosts = strings.Split(os.Args[1], ",")
	failed := false
	for _, name := range os.Args[2:] {
		failed = attempt(name) || failed
	}
	if failed {
		os.Exit(1)
	}
}
