// Package pki keeps the certificates and keys of a cluster: made once, renewed when they would end or say the wrong thing.
package pki

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"
)

const (
	authorityLifetime = 10 * 365 * 24 * time.Hour
	leafLifetime      = 365 * 24 * time.Hour
	// renewBefore is how long before its end a certificate is replaced at a start.
	renewBefore = 120 * 24 * time.Hour
)

// Authority signs certificates.
type Authority struct {
	CertFile string
	cert     *x509.Certificate
	certPEM  []byte
	key      crypto.Signer
}

// Leaf says what a certificate is to be.
type Leaf struct {
	CommonName    string
	Organizations []string
	// Names are the host names and addresses of a server; a certificate without any is a client's.
	Names []string
	// Both makes a server's certificate good for a client, too (etcd's peers are both).
	Both bool
}

// EnsureAuthority reads the authority from <base>.crt and <base>.key, or makes it.
func EnsureAuthority(base, commonName string) (*Authority, error) {
	authority, err := readAuthority(base)
	if err == nil || !errors.Is(err, fs.ErrNotExist) {
		return authority, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: fmt.Sprintf("%s@%d", commonName, time.Now().Unix())},
		NotAfter:              time.Now().Add(authorityLifetime),
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment | x509.KeyUsageCertSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	certPEM, err := sign(template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	// The key first: a certificate without its key would look like a complete authority.
	if err := writeKey(base+".key", key); err != nil {
		return nil, err
	}
	if err := WriteFile(base+".crt", certPEM, 0o644); err != nil {
		return nil, err
	}
	return readAuthority(base)
}

func readAuthority(base string) (*Authority, error) {
	certPEM, err := os.ReadFile(base + ".crt")
	if err != nil {
		return nil, err
	}
	key, err := readKey(base + ".key")
	if err != nil {
		return nil, fmt.Errorf("the authority %s.crt has lost its key: %s", base, err.Error())
	}
	cert, err := parse(certPEM)
	if err != nil {
		return nil, fmt.Errorf("%s.crt: %w", base, err)
	}
	return &Authority{CertFile: base + ".crt", cert: cert, certPEM: certPEM, key: key}, nil
}

// PEM returns the authority's certificate.
func (a *Authority) PEM() []byte { return a.certPEM }

// Ensure makes <base>.crt (the certificate and its authority's) and <base>.key, unless they are there and still good.
func (a *Authority) Ensure(base string, leaf Leaf) error {
	if a.good(base, leaf) {
		return nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		Subject:     pkix.Name{CommonName: leaf.CommonName, Organization: leaf.Organizations},
		NotAfter:    time.Now().Add(leafLifetime),
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
		ExtKeyUsage: leaf.usage(),
	}
	template.DNSNames, template.IPAddresses = leaf.names()
	certPEM, err := sign(template, a.cert, key.Public(), a.key)
	if err != nil {
		return err
	}
	if err := writeKey(base+".key", key); err != nil {
		return err
	}
	return WriteFile(base+".crt", append(certPEM, a.certPEM...), 0o644)
}

// good tells whether the files hold such a certificate of this authority, with its key, for some time to come.
func (a *Authority) good(base string, leaf Leaf) bool {
	content, err := os.ReadFile(base + ".crt")
	if err != nil {
		return false
	}
	cert, err := parse(content)
	if err != nil {
		return false
	}
	key, err := readKey(base + ".key")
	if err != nil || !key.Public().(interface{ Equal(crypto.PublicKey) bool }).Equal(cert.PublicKey) {
		return false
	}
	names, addresses := leaf.names()
	return cert.CheckSignatureFrom(a.cert) == nil &&
		time.Until(cert.NotAfter) > renewBefore &&
		cert.Subject.CommonName == leaf.CommonName &&
		slices.Equal(slices.Sorted(slices.Values(cert.Subject.Organization)), slices.Sorted(slices.Values(leaf.Organizations))) &&
		slices.Equal(cert.DNSNames, names) &&
		slices.EqualFunc(cert.IPAddresses, addresses, net.IP.Equal) &&
		slices.Equal(cert.ExtKeyUsage, leaf.usage())
}

func (l Leaf) usage() []x509.ExtKeyUsage {
	switch {
	case l.Both:
		return []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	case len(l.Names) > 0:
		return []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	}
	return []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
}

// names returns the host names and the addresses, each once, in the order given.
func (l Leaf) names() (names []string, addresses []net.IP) {
	seen := map[string]bool{}
	for _, name := range l.Names {
		if seen[name] || name == "" {
			continue
		}
		seen[name] = true
		if address := net.ParseIP(name); address != nil {
			addresses = append(addresses, address)
		} else {
			names = append(names, name)
		}
	}
	return names, addresses
}

// EnsureServiceKey makes the RSA key that signs the tokens of service accounts.
func EnsureServiceKey(path string) error {
	if _, err := os.Stat(path); err == nil || !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	return WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}), 0o600)
}

// EnsureToken makes the file with the cluster's secret token in k3s's full form and returns what is in it.
func EnsureToken(path, wanted string, server *Authority) error {
	if content, err := os.ReadFile(path); err == nil && len(content) > 0 {
		return nil
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if wanted == "" {
		random := make([]byte, 16)
		if _, err := rand.Read(random); err != nil {
			return err
		}
		wanted = hex.EncodeToString(random)
	}
	sum := sha256.Sum256(server.PEM())
	return WriteFile(path, fmt.Appendf(nil, "K10%s::server:%s\n", hex.EncodeToString(sum[:]), wanted), 0o600)
}

func sign(template, parent *x509.Certificate, public crypto.PublicKey, key crypto.Signer) ([]byte, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 63))
	if err != nil {
		return nil, err
	}
	template.SerialNumber = serial
	template.NotBefore = time.Now().Add(-time.Minute) // clocks of other hosts
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), nil
}

func parse(content []byte) (*x509.Certificate, error) {
	block, _ := pem.Decode(content)
	if block == nil {
		return nil, errors.New("no certificate in PEM form")
	}
	return x509.ParseCertificate(block.Bytes)
}

func readKey(path string) (crypto.Signer, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(content)
	if block == nil {
		return nil, fmt.Errorf("%s holds no key in PEM form", path)
	}
	return x509.ParseECPrivateKey(block.Bytes)
}

func writeKey(path string, key *ecdsa.PrivateKey) error {
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return err
	}
	return WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), 0o600)
}

// WriteFile makes the file hold the content with the mode, in one step for its readers; a file that is so already stays.
func WriteFile(path string, content []byte, mode fs.FileMode) error {
	if now, err := os.ReadFile(path); err == nil && bytes.Equal(now, content) {
		return os.Chmod(path, mode)
	}
	file, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-")
	if err != nil {
		return err
	}
	defer os.Remove(file.Name())
	_, err = file.Write(content)
	if err := errors.Join(err, file.Chmod(mode), file.Sync(), file.Close()); err != nil {
		return err
	}
	return os.Rename(file.Name(), path)
}
