// Package temporalclient connects to Temporal by Temporal's own convention: the TEMPORAL_* environment variables and
// temporal.toml (go.temporal.io/sdk/contrib/envconfig), so that any cluster, or Temporal Cloud, fits.
package temporalclient

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/contrib/envconfig"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"

	"github.com/twtr-dev/twtr"
	"github.com/twtr-dev/twtr/internal/temporalerr"
)

// Options loads the client's options from the environment. A non-empty address overrides TEMPORAL_ADDRESS.
func Options(address string, logger *slog.Logger, metrics client.MetricsHandler) (client.Options, error) {
	options, err := envconfig.LoadDefaultClientOptions()
	if err != nil {
		return options, fmt.Errorf("the TEMPORAL_* settings: %w", err)
	}
	if address != "" {
		options.HostPort = address
	}
	if err := checkAddress(options.HostPort); err != nil {
		return options, err
	}
	options.Logger = log.NewStructuredLogger(logger)
	options.MetricsHandler = metrics
	return options, nil
}

// checkAddress refuses an address that no client can connect to. gRPC finds out only when it connects, and then takes it for an
// outage. An address with a scheme, such as dns:///temporal:7233, is left to gRPC.
func checkAddress(address string) error {
	if address == "" || strings.Contains(address, ":/") {
		return nil
	}
	if host, port, err := net.SplitHostPort(address); err != nil || host == "" || port == "" {
		return fmt.Errorf("the address of Temporal (TEMPORAL_ADDRESS) must be host:port, not %q", address)
	}
	return nil
}

const (
	// timeout bounds how long [Dial] and [Reach] wait for Temporal.
	timeout = 10 * time.Second
	// lazyTimeout bounds how long [DialLazily] waits for Temporal before it continues without it. It is shorter than the 5 s that a
	// request may take.
	lazyTimeout = 3 * time.Second
	// registerEvery is the pause between two attempts to register the search attributes.
	registerEvery = time.Second
)

// Dial connects within 10 s, and registers the search attributes that the namespace does not have.
func Dial(ctx context.Context, options client.Options, attributes []temporal.SearchAttributeKey) (client.Client, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	c, err := dial(ctx, options)
	if err != nil {
		return nil, err
	}
	if err := registerQuietly(ctx, options, attributes); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// registerQuietly registers the attributes by a client without metrics: until they are known, Temporal refuses the queries that ask
// for them, which is no failure that an operator needs to see.
func registerQuietly(ctx context.Context, options client.Options, attributes []temporal.SearchAttributeKey) error {
	options.MetricsHandler = nil
	c, err := client.NewLazyClient(options)
	if err != nil {
		return err
	}
	defer c.Close()
	return register(ctx, c, Namespace(options), attributes)
}

// DialLazily is [Dial] for a process that can serve something without Temporal. If Temporal, or the namespace, is unavailable, the
// client connects when it is available again, and the search attributes are registered then, unless ctx has ended. What Temporal
// refuses is an error.
func DialLazily(ctx context.Context, options client.Options, attributes []temporal.SearchAttributeKey) (client.Client, error) {
	options.ConnectionOptions.GetSystemInfoTimeout = lazyTimeout // of the first call
	c, err := client.NewLazyClient(options)
	if err != nil {
		return nil, err
	}
	r := &registration{options: options, attributes: attributes}
	err = r.try(ctx)
	switch {
	case err == nil:
		return c, nil
	case isUnavailable(err):
		options.Logger.Warn("Temporal is unavailable; what needs it fails until it is available", "address", Address(options), "error", err)
		go r.retry(ctx)
		return c, nil
	default:
		c.Close()
		return nil, err
	}
}

func isUnavailable(err error) bool {
	return twtr.ErrorCode(temporalerr.FromTemporal(err)) == twtr.Unavailable
}

// registration registers the search attributes of a namespace.
type registration struct {
	options    client.Options
	attributes []temporal.SearchAttributeKey
}

func (r *registration) try(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, lazyTimeout)
	defer cancel()
	return registerQuietly(ctx, r.options, r.attributes)
}

// retry tries until it succeeds or ctx ends. An error that is not an outage is logged, and tried again, too: somebody may correct
// its cause in Temporal. Requests that do not need Temporal are served meanwhile.
func (r *registration) retry(ctx context.Context) {
	logged := ""
	for {
		select {
		case <-time.After(registerEvery):
		case <-ctx.Done():
			return
		}
		err := r.try(ctx)
		if err == nil {
			r.options.Logger.Info("Temporal is available", "address", Address(r.options))
			return
		}
		if text := err.Error(); !isUnavailable(err) && text != logged {
			logged = text
			r.options.Logger.Error("Temporal refuses the search attributes", "address", Address(r.options), "error", err)
		}
	}
}

// Reach returns nil if Temporal responds within 10 s and has the namespace, so that [Dial] can connect.
func Reach(ctx context.Context, options client.Options) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	c, err := dial(ctx, options)
	if err != nil {
		return err
	}
	defer c.Close()
	_, err = c.WorkflowService().DescribeNamespace(ctx, &workflowservice.DescribeNamespaceRequest{Namespace: Namespace(options)})
	if err != nil {
		return fmt.Errorf("namespace %q (TEMPORAL_NAMESPACE): %w", Namespace(options), err)
	}
	return nil
}

func dial(ctx context.Context, options client.Options) (client.Client, error) {
	c, err := client.DialContext(ctx, options)
	if err != nil {
		return nil, fmt.Errorf("no response from Temporal at %s (TEMPORAL_ADDRESS) %s: %w", Address(options), security(options), err)
	}
	return c, nil
}

// security says how the options connect: a server that wants TLS, or another client certificate, may close the connection without a
// reason.
func security(options client.Options) string {
	tls := options.ConnectionOptions.TLS
	switch {
	case tls != nil && (len(tls.Certificates) > 0 || tls.GetClientCertificate != nil):
		return "with TLS and a client certificate"
	case tls != nil || options.Credentials != nil:
		return "with TLS, without a client certificate"
	default:
		return "without TLS"
	}
}

// Address is the host and port that the options connect to.
func Address(options client.Options) string {
	return cmp.Or(options.HostPort, client.DefaultHostPort)
}

// Namespace is the namespace that the options name.
func Namespace(options client.Options) string {
	return cmp.Or(options.Namespace, client.DefaultNamespace)
}

func register(ctx context.Context, c client.Client, namespace string, attributes []temporal.SearchAttributeKey) error {
	known, err := c.OperatorService().ListSearchAttributes(ctx, &operatorservice.ListSearchAttributesRequest{Namespace: namespace})
	if err != nil {
		return fmt.Errorf("read the search attributes of namespace %q: %w", namespace, err)
	}
	missing := map[string]enums.IndexedValueType{}
	conditions := make([]string, len(attributes))
	for i, a := range attributes {
		if _, ok := known.GetCustomAttributes()[a.GetName()]; !ok {
			missing[a.GetName()] = a.GetValueType()
		}
		conditions[i] = a.GetName() + " IS NULL"
	}
	if len(missing) > 0 {
		_, err := c.OperatorService().AddSearchAttributes(ctx, &operatorservice.AddSearchAttributesRequest{
			Namespace: namespace, SearchAttributes: missing})
		var exists *serviceerror.AlreadyExists
		if err != nil && !errors.As(err, &exists) { // another process may have been first
			return fmt.Errorf("namespace %q has no search attributes %v, and they cannot be added from here: %w", namespace, missing, err)
		}
	}
	// The server's caches learn of them a moment later. Until then it refuses workflows that have them, and queries.
	query := &workflowservice.CountWorkflowExecutionsRequest{Namespace: namespace, Query: strings.Join(conditions, " AND ")}
	for {
		_, err := c.CountWorkflow(ctx, query)
		var unknown *serviceerror.InvalidArgument
		if !errors.As(err, &unknown) {
			return err
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("namespace %q does not accept the search attributes %v yet: %w", namespace, missing, err)
		}
	}
}
