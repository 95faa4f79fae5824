// Package snapshot is `k3s etcd-snapshot`: it saves the datastore to a file and lists what was saved.
package snapshot

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"text/tabwriter"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/transport"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc/grpclog"

	"railiance.stack/lab/k3s/internal/config"
)

const timeout = 5 * time.Minute

// Run is the command: save or ls, with k3s's options --name and --dir.
func Run(arguments []string, output io.Writer) error {
	verb := ""
	if len(arguments) > 0 {
		verb, arguments = arguments[0], arguments[1:]
	}
	options := flag.NewFlagSet("k3s etcd-snapshot", flag.ContinueOnError)
	name := options.String("name", "on-demand", "first part of the snapshot's name")
	directory := options.String("dir", config.SnapshotsDir, "directory of the snapshots")
	options.StringVar(directory, "etcd-snapshot-dir", config.SnapshotsDir, "directory of the snapshots")
	if err := options.Parse(arguments); err != nil {
		return err
	}
	if options.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", options.Arg(0))
	}
	switch verb {
	case "save":
		told, err := config.Load(config.File, nil)
		if err != nil {
			return err
		}
		if !told.ClusterInit {
			// k3s keeps its data in SQLite then, and has nothing to make a snapshot of.
			return errors.New("etcd datastore disabled: cluster-init is not set")
		}
		path := filepath.Join(*directory, fmt.Sprintf("%s-%s-%d", *name, told.NodeName, time.Now().Unix()))
		if err := save(path); err != nil {
			return err
		}
		_, err = fmt.Fprintf(output, "Snapshot %s saved.\n", filepath.Base(path))
		return err
	case "ls", "list":
		return list(*directory, output)
	}
	return fmt.Errorf("etcd-snapshot %q: the lab's stand-in knows save and ls", verb)
}

// save writes the datastore's snapshot to the path; the name appears when the file is complete and proven.
func save(path string) error {
	// The client's transport would report its own closing as a warning.
	grpclog.SetLoggerV2(grpclog.NewLoggerV2(io.Discard, io.Discard, io.Discard))
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	tls := transport.TLSInfo{
		TrustedCAFile: config.TLS("etcd/server-ca.crt"),
		CertFile:      config.TLS("etcd/client.crt"), KeyFile: config.TLS("etcd/client.key"),
	}
	verified, err := tls.ClientConfig()
	if err != nil {
		return err
	}
	client, err := clientv3.New(clientv3.Config{
		Endpoints: []string{"https://127.0.0.1:2379"}, TLS: verified, DialTimeout: 5 * time.Second, Logger: zap.NewNop(),
	})
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	if _, err := client.Status(ctx, "https://127.0.0.1:2379"); err != nil {
		return fmt.Errorf("the datastore does not answer, does k3s run? %w", err)
	}
	content, err := client.Snapshot(ctx)
	if err != nil {
		return err
	}
	defer content.Close()

	file, err := os.CreateTemp(filepath.Dir(path), ".incoming-")
	if err != nil {
		return err
	}
	defer os.Remove(file.Name())
	if err := errors.Join(receive(file, content), file.Sync(), file.Close()); err != nil {
		return err
	}
	return os.Rename(file.Name(), path)
}

// receive copies a snapshot and compares its content with the SHA-256 sum that etcd appends to it.
func receive(target io.Writer, snapshot io.Reader) error {
	sum := sha256.New()
	tail := make([]byte, 0, 2*sha256.Size)
	buffer := make([]byte, 1<<20)
	size := 0
	for {
		length, err := snapshot.Read(buffer)
		if length > 0 {
			if _, err := target.Write(buffer[:length]); err != nil {
				return err
			}
			size += length
			// What may be the appended sum is held back from the sum over the content.
			held := append(tail, buffer[:length]...)
			cut := max(0, len(held)-sha256.Size)
			sum.Write(held[:cut])
			tail = append(tail[:0:0], held[cut:]...)
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
	}
	if size%512 != sha256.Size || !bytes.Equal(tail, sum.Sum(nil)) {
		return fmt.Errorf("the snapshot of %d bytes does not carry the right checksum", size)
	}
	return nil
}

func list(directory string, output io.Writer) error {
	entries, err := os.ReadDir(directory)
	if err != nil {
		return err
	}
	table := tabwriter.NewWriter(output, 0, 0, 1, ' ', 0)
	fmt.Fprintln(table, "Name\tLocation\tSize\tCreated")
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil {
			return err
		}
		if !info.Mode().IsRegular() || entry.Name()[0] == '.' {
			continue
		}
		location := url.URL{Scheme: "file", Path: filepath.Join(directory, entry.Name())}
		fmt.Fprintf(table, "%s\t%s\t%d\t%s\n", entry.Name(), location.String(), info.Size(), info.ModTime().UTC().Format(time.RFC3339))
	}
	return table.Flush()
}
