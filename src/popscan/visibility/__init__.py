"""Can an attribute be seen? How well sex, race or scanner are predicted from what a pipeline sees.

`features` makes the numbers (of label maps, crops, whole images), `latent` those of the
segmentation network's bottleneck, `predict` the cross-validated area under the ROC curve with its
interval, its chance level and its value once body size is taken out, `attribution` where in the
image it is seen and whether the segmentation looks there too.

That an attribute can be seen is no harm in itself, and that it cannot is no proof of fairness: it
says where a model could pick it up (Gichoya et al. 2022, doi:10.1016/S2589-7500(22)00063-2; Lee et
al. 2025, arXiv:2408.02462: race is predicted from images, less from segmentations, hardly
from images cropped to the organ).
"""

#: What an attribute is looked for in -> what that is.
SOURCES: dict[str, str] = {
    "biomarkers": "the biomarkers",
    "labels": "the segmentation's label map",
    "organ": "the image, cropped to the organ",
    "heart": "the image in the heart's frame, cropped to the heart",
    "image": "the whole image, coarse",
    "latent": "the segmentation network's bottleneck",
}
