package server

import (
	"context"
	"fmt"
	"time"
)

// tick is how often something that is about to become true is looked at.
const tick = 100 * time.Millisecond

// poll calls try until it succeeds, and returns what it said last when the context ends first. There is no time limit
// of its own: systemd knows how long the service may take to start.
func poll(ctx context.Context, what string, try func(context.Context) error) error {
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	reminder := time.NewTicker(15 * time.Second)
	defer reminder.Stop()
	for {
		err := try(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w (%w)", what, context.Cause(ctx), err)
		case <-reminder.C:
			logf("waiting for %s: %v", what, err)
		case <-ticker.C:
		}
	}
}

// every calls the function now and then after each interval, until the context ends.
func every(ctx context.Context, interval time.Duration, do func(context.Context)) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		do(ctx)
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}
