package server

import (
	"fmt"
	"os"
	"time"
)

// logf writes one line in the form of k3s's own log.
func logf(format string, values ...any) {
	fmt.Fprintf(os.Stderr, "time=%q level=info msg=%q\n", time.Now().UTC().Format(time.RFC3339), fmt.Sprintf(format, values...))
}

// warnf does the same for what somebody should look at.
func warnf(format string, values ...any) {
	fmt.Fprintf(os.Stderr, "time=%q level=warning msg=%q\n", time.Now().UTC().Format(time.RFC3339), fmt.Sprintf(format, values...))
}
