package server

import (
	"net"
	"os"
	"testing"
)

func TestNotifierTellsSystemdAndHidesTheSocket(t *testing.T) {
	path := t.TempDir() + "/notify"
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	t.Setenv("NOTIFY_SOCKET", path)
	notify := takeNotifier()
	if _, there := os.LookupEnv("NOTIFY_SOCKET"); there {
		t.Error("children would see the socket")
	}
	if err := notify("READY=1"); err != nil {
		t.Fatal(err)
	}
	buffer := make([]byte, 32)
	length, err := socket.Read(buffer)
	if err != nil || string(buffer[:length]) != "READY=1" {
		t.Errorf("%q %v", buffer[:length], err)
	}
}
