"""What tests of several methods share."""

from popscan.arrays.image_quality import fitted_gain, nrmse


def nrmse_of(scan, image):
    """Return the NRMSE of a scan after the best gain."""
    return nrmse(scan.array * fitted_gain(scan.array, image), image)
