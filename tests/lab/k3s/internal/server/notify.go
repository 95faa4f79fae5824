package server

import (
	"net"
	"os"
)

// takeNotifier returns a function that tells systemd about this service, and hides the socket from the processes that
// this one will start: containerd and etcd would announce themselves as the service.
func takeNotifier() func(state string) error {
	address := os.Getenv("NOTIFY_SOCKET")
	os.Unsetenv("NOTIFY_SOCKET")
	return func(state string) error {
		if address == "" {
			return nil // not started by systemd
		}
		connection, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: address, Net: "unixgram"})
		if err != nil {
			return err
		}
		defer connection.Close()
		_, err = connection.Write([]byte(state))
		return err
	}
}
