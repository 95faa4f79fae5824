// Package ext holds the two empty extension points that Traefik's sources embed;
// upstream keeps them in a local module that the module proxy does not serve.
package ext

// HTTP is embedded in Traefik's HTTP configuration.
type HTTP struct{}

// Router is embedded in Traefik's router configuration.
type Router struct{}
