"""What noise is: seven distributions, and the layer that adds it to an activation.

Equation numbers are those of "Activation Noise for EBM Classification".
"""

import math

import torch
from torch import Tensor, nn

# A sampler draws a tensor of `shape`; `how` holds generator, device and dtype (float32 or float64). None draws into an
# empty tensor: `torch.func.vmap` can draw for many networks only by functions that make a new one.


def _normal(shape, mu, sigma, **how):
    return torch.normal(mu, sigma, shape, **how)


def _fine(shape, low, **how):
    """Uniform on (low, low + 2²⁴), never 0, with as many digits near 0 as anywhere.

    In float32 torch.rand knows 0, 2⁻²⁴, 2·2⁻²⁴, ... only: its logarithm or tangent may be infinite, and has tails that
    are coarse at one in 10⁶ and end at one in 10⁷.
    """
    return torch.randint(low, low + 2**24, shape, **how).add_(torch.rand(shape, **how).clamp(min=2**-24))


def _cauchy(shape, z0, gamma, **how):  # the cotangent, as its pole is at 0, where floating point is fine
    return _fine(shape, -(2**23), **how).mul_(math.pi / 2**24).tan_().reciprocal_().mul_(gamma).add_(z0)


def _uniform(shape, omega, **how):
    return torch.rand(shape, **how).sub_(0.5).mul_(omega)


def _chi(shape, k, **how):
    if k == 1:  # |N(0, 1)|, which costs less
        return torch.randn(shape, **how).abs_()
    # chi² with k degrees of freedom is twice a Gamma(k/2) variable
    generator = how.pop("generator")
    return torch._standard_gamma(torch.full(shape, k / 2, **how), generator=generator).mul_(2).sqrt_()


def _lognormal(shape, mu, sigma, **how):
    return _normal(shape, mu, sigma, **how).exp_()


def _t(shape, nu, **how):
    if nu == 1:  # the Cauchy; a quotient of float32 normals meets 0 once in ten million draws
        return _cauchy(shape, 0.0, 1.0, **how)
    return torch.randn(shape, **how).div_(_chi(shape, nu, **how)).mul_(math.sqrt(nu))


def _exponential(shape, rate, **how):
    return _fine(shape, 0, **how).mul_(2**-24).log_().div_(-rate)


# name -> (sampler, default parameters); the defaults are the paper's Table 3, but for `uniform`,
# where the printed width 0 is no noise: 2√3 gives it the Gaussian's unit variance.
_SAMPLERS = {
    "gaussian": (_normal, {"mu": 0.0, "sigma": 1.0}),
    "cauchy": (_cauchy, {"z0": 0.0, "gamma": 1.0}),
    "uniform": (_uniform, {"omega": 2 * math.sqrt(3)}),
    "chi": (_chi, {"k": 1.0}),
    "lognormal": (_lognormal, {"mu": 0.0, "sigma": 1.0}),
    "t": (_t, {"nu": 1.0}),
    "exponential": (_exponential, {"rate": 1.0}),
}
_LOCATIONS = {"mu", "z0"}

DISTRIBUTIONS = {name: dict(defaults) for name, (_, defaults) in _SAMPLERS.items()}
"""The seven distributions of Appendix A and their default parameters (Table 3)."""


def check_parameters(distribution: str, parameters: dict) -> dict:
    """All parameters of `distribution`: the defaults, overridden by `parameters`.

    Raises `ValueError` for an unknown distribution or parameter, and for a value out of range
    (every parameter but the locations `mu` and `z0` must be positive).

    >>> check_parameters("gaussian", {"sigma": 2})
    {'mu': 0.0, 'sigma': 2.0}
    """
    if distribution not in DISTRIBUTIONS:
        raise ValueError(f"unknown noise distribution {distribution!r}; choose from {', '.join(DISTRIBUTIONS)}")
    defaults = DISTRIBUTIONS[distribution]
    for key, value in parameters.items():
        if key not in defaults:
            raise ValueError(f"{distribution} noise has no parameter {key!r}; it takes {', '.join(defaults)}")
        if not math.isfinite(value) or (key not in _LOCATIONS and value <= 0):
            raise ValueError(
                f"{distribution} noise: {key} = {value!r}, "
                f"expected a {'finite' if key in _LOCATIONS else 'positive'} number"
            )
    return {**defaults, **{key: float(value) for key, value in parameters.items()}}


def sample(distribution: str, shape, *, device=None, dtype=None, generator=None, **parameters) -> Tensor:
    """Draw the normalised noise z̄ of eq. (1), before its scalar α; Appendix A.

    The density of each distribution, with its defaults (Table 3):

    - ``gaussian``: mean ``mu`` = 0, standard deviation ``sigma`` = 1
    - ``cauchy``: location ``z0`` = 0, scale ``gamma`` = 1; it has no mean and no variance
    - ``uniform``: on (-``omega``/2, ``omega``/2). The paper prints width 0, which is no noise; our
      default 2√3 has unit variance
    - ``chi``: ``k`` = 1 degree of freedom
    - ``lognormal``: exp of a normal with mean ``mu`` = 0, deviation ``sigma`` = 1
    - ``t``: Student's, ``nu`` = 1 degree of freedom, where it *is* the Cauchy
    - ``exponential``: ``rate`` = 1 (the paper's λ)

    Returns a tensor of `shape`, drawn on `device` (from `generator` if given). Half precision is drawn in float32
    and rounded once. Raises `ValueError` as `check_parameters` does, and for a `dtype` that is not floating-point.

    >>> g = torch.Generator().manual_seed(0)
    >>> z = sample("uniform", (1000,), generator=g, omega=1.0)
    >>> bool((z.abs() <= 0.5).all())
    True
    """
    parameters = check_parameters(distribution, parameters)
    dtype = dtype or torch.get_default_dtype()
    if not dtype.is_floating_point:
        raise ValueError(f"dtype = {dtype}: noise needs a floating-point type, such as torch.float32")
    shape = (shape,) if isinstance(shape, int) else tuple(shape)
    how = {"generator": generator, "device": device, "dtype": torch.promote_types(dtype, torch.float32)}
    return _SAMPLERS[distribution][0](shape, **parameters, **how).to(dtype)


def density(distribution: str, z, **parameters):
    """The exact density of z̄ at the points `z` (an array), by scipy; parameters and errors as in `sample`.

    >>> round(float(density("t", 0.0) - density("cauchy", 0.0)), 12)
    0.0
    """
    from scipy import stats

    p = check_parameters(distribution, parameters)
    frozen = {
        "gaussian": lambda: stats.norm(p["mu"], p["sigma"]),
        "cauchy": lambda: stats.cauchy(p["z0"], p["gamma"]),
        "uniform": lambda: stats.uniform(-p["omega"] / 2, p["omega"]),
        "chi": lambda: stats.chi(p["k"]),
        "lognormal": lambda: stats.lognorm(p["sigma"], scale=math.exp(p["mu"])),
        "t": lambda: stats.t(p["nu"]),
        "exponential": lambda: stats.expon(scale=1 / p["rate"]),
    }[distribution]()
    return frozen.pdf(z)


class ActivationNoise(nn.Module):
    """Equation (1): t = s + α z̄, with one α for training and one for inference.

    `alpha` acts in training mode (``module.train()``), `alpha_inference` in evaluation mode
    (``module.eval()``; by default the same α, the paper's *balanced* noise). Both, and `enabled`, are
    plain attributes and may be changed at any time. Every element of the input gets its own draw, unless
    `common` is true: then one draw serves all slices along the first axis, taken for the batch (common random
    numbers across images). With `multiplicative` the noise scales with the signal: t = s + α s z̄ (explicit
    regularisation, eq. 5). Under `torch.func.vmap`, `randomness` says whether the draws differ.

    >>> layer = ActivationNoise("gaussian", alpha=0.5, alpha_inference=0.0).eval()
    >>> layer(torch.ones(3))
    tensor([1., 1., 1.])
    """

    def __init__(
        self, distribution="gaussian", alpha=1.0, alpha_inference=None, common=False, multiplicative=False, **parameters
    ):
        super().__init__()
        self.distribution = distribution
        self.parameters_of_noise = check_parameters(distribution, parameters)
        self.alpha = check_alpha(alpha)
        self.alpha_inference = check_alpha(alpha if alpha_inference is None else alpha_inference)
        self.common = common
        self.multiplicative = multiplicative
        self.enabled = True

    def forward(self, s: Tensor) -> Tensor:
        alpha = self.alpha if self.training else self.alpha_inference
        if not self.enabled or alpha == 0:
            return s
        if self.common and s.ndim == 0:
            raise ValueError(
                "common noise is one draw for all of a batch: expected an input [B, ...], got a single number"
            )
        like = s[:1] if self.common else s
        order = sorted(range(like.ndim), key=like.stride, reverse=True)  # drawn in the order in which s lies in memory
        shape = [like.shape[i] for i in order]
        z = sample(self.distribution, shape, device=s.device, dtype=s.dtype, **self.parameters_of_noise)
        z = z.permute([order.index(i) for i in range(like.ndim)])
        return torch.addcmul(s, s, z, value=alpha) if self.multiplicative else torch.add(s, z, alpha=alpha)

    def extra_repr(self) -> str:
        defaults = DISTRIBUTIONS[self.distribution]
        parameters = [f"{key}={value}" for key, value in self.parameters_of_noise.items() if value != defaults[key]]
        strengths = [f"α={self.alpha} training", f"α={self.alpha_inference} inference"]
        flags = [key for key in ("common", "multiplicative") if getattr(self, key)]
        off = [] if self.enabled else ["switched off"]
        return ", ".join([self.distribution, *parameters, *strengths, *flags, *off])


def check_alpha(alpha: float) -> float:
    """The noise scalar α as a float; `ValueError` unless it is finite and not negative."""
    if not (math.isfinite(alpha) and alpha >= 0):
        raise ValueError(f"noise scalar α = {alpha!r}: expected a finite number, 0 or more")
    return float(alpha)
